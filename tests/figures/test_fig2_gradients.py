from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats

from figures.fig2_gradients import effects, endpoints, main
from landscape.plots.traces import arms
from tests.results.made import hessian
from tests.results.made_traces import traces


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = []
    for eps, out in ((0.0, 10), (0.1, 30), (0.3, None)):
        for seed in range(3):
            result = traces(eps=eps, seed=seed, escapes_at=None if out is None else out + seed)
            made.append(result.save(tmp_path / "runs" / f"{eps}-{seed}.traces.h5"))
    return made


def test_a_runs_endpoints_are_those_of_its_rows() -> None:
    found = endpoints(traces(steps=60, escapes_at=15, seed=2))
    assert (found.escape_step, found.escaped) == (15, True)
    assert found.early_gradient_norm == pytest.approx((15 * 1 + 5 * 2) / 20)
    assert found.distance == pytest.approx(5.9 + 2)
    assert (found.clean_test_error, found.robust_test_error) == (0.1, 0.2)
    assert (found.late_gradient_norm, found.late_gradient_sq) == (2.0, 3.0)
    never = endpoints(traces(escapes_at=None))
    assert (never.escape_step, never.escaped) == (60, False)
    assert np.isnan(never.late_gradient_norm)


def test_effects_are_paired_by_seed_with_students_interval() -> None:
    results = [traces(eps=0.0, seed=seed, escapes_at=10 + seed) for seed in range(4)]
    results += [traces(eps=0.1, seed=seed, escapes_at=20 + 2 * seed) for seed in range(3)]  # one seed is not there yet
    rows = {row[2]: row for row in effects(arms(results))}
    arm, base, _, seeds, difference, low, high, p, verdict = rows["escape_step"]
    assert (arm, base, seeds, verdict) == ("ε = 0.1", "ε = 0", 3, "higher")
    wanted = stats.ttest_1samp([10, 11, 12], 0)
    assert (difference, p) == pytest.approx((11, wanted.pvalue))
    assert (low, high) == pytest.approx(wanted.confidence_interval())
    assert rows["distance"][4:] == [0.0, 0.0, 0.0, 1.0, "too small to tell"]
    two = {row[2]: row for row in effects(arms([*results[:2], *results[4:6]]))}
    assert two["escape_step"][-1] == "too few seeds (2)"


def test_seeds_that_scatter_too_much_are_too_little_to_tell() -> None:
    """A percentile bootstrap of these four differences leaves out 0; Student's interval does not."""
    results = [traces(eps=0.0, seed=seed, escapes_at=10) for seed in range(4)]
    results += [traces(eps=0.1, seed=seed, escapes_at=10 + later) for seed, later in enumerate((1, 2, 3, 40))]
    (row,) = [row for row in effects(arms(results)) if row[2] == "escape_step"]
    assert row[5] < 0 and row[-1] == "too small to tell"


def test_it_writes_picture_numbers_effects_and_provenance(files: list[Path], tmp_path: Path) -> None:
    other = hessian().save(tmp_path / "h.h5")
    done = invoke(*files, other, "-o", tmp_path / "fig2.png")
    assert done.exit_code == 0, done.output
    assert f"left out {other}" in done.output
    assert {path.name for path in tmp_path.glob("fig2*")} == {
        "fig2.pdf", "fig2.png", "fig2.csv", "fig2-effects.csv", "fig2.json",
    }  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "fig2.csv").read_text().splitlines()))
    assert [float(row["escape_step"]) for row in rows] == [10, 11, 12, 30, 31, 32, 60, 60, 60]
    made = json.loads((tmp_path / "fig2.json").read_text())
    assert len(made["inputs"]) == 9
    assert made["left_out"] == [str(other)]


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    done = invoke(hessian().save(tmp_path / "h.h5"), "-o", tmp_path / "fig2.pdf")
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "landscape train writes NAME.traces.h5" in done.output
