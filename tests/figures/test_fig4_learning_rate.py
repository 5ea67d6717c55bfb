from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from figures.fig4_learning_rate import main
from tests.results.made import hessian
from tests.results.made_evaluate import Errors, sweep
from tests.results.test_rates import ERRORS, saved

# On held-out examples the lower rate is the better one for linear, and not on the test examples.
HELD_OUT: Errors = {**ERRORS, ("linear", 0.001): (50, 50, 50)}


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture
def tests(tmp_path: Path) -> list[Path]:
    return saved(sweep(ERRORS), tmp_path / "made")


@pytest.fixture
def held_out(tmp_path: Path) -> list[object]:
    paths = saved(sweep(HELD_OUT, data="ef"), tmp_path / "made", "heldout")
    return [word for path in paths for word in ("--holdout", path)]


def test_it_writes_picture_runs_rates_effects_and_provenance(
    tests: list[Path], held_out: list[object], tmp_path: Path
) -> None:
    other = hessian().save(tmp_path / "h.h5")
    done = invoke(*tests, other, *held_out, "-o", tmp_path / "fig4.png")
    assert done.exit_code == 0, done.output
    assert f"left out {other}" in done.output
    assert {path.name for path in tmp_path.glob("fig4*")} == {
        "fig4.pdf", "fig4.png", "fig4.csv", "fig4-rates.csv", "fig4-effects.csv", "fig4.json",
    }  # fmt: skip
    runs = rows(tmp_path / "fig4.csv")
    assert len(runs) == 18 and sum(row["failed"] == "True" for row in runs) == 2
    first = runs[0]
    assert (first["arm"], first["learning_rate"], first["seed"], first["error"]) == ("constant", "0.001", "0", "0.9")
    linear = next(row for row in runs if row["arm"] == "linear")
    assert (linear["clean_error"], linear["error"], linear["held_out_error"]) == ("0.05", "0.45", "0.25")
    cells = rows(tmp_path / "fig4-rates.csv")
    assert [row["learning_rate"] for row in cells if row["best"] == "True"] == ["0.01", "0.001", "0.01"]
    assert (cells[0]["failed"], cells[0]["median_of_survivors"]) == ("2", "0.6")
    effects = {(row["endpoint"], row["effect"]): row for row in rows(tmp_path / "fig4-effects.csv")}
    row = effects["best rate", "linear against constant"]
    assert float(row["value"]) == pytest.approx((90 + 94 + 86 - 300) / 600)
    assert {"sensitivity", "mean over rates", "rate 0.001"} <= {endpoint for endpoint, _ in effects}
    made = json.loads((tmp_path / "fig4.json").read_text())
    assert len(made["inputs"]) == 6 and sum(one.get("held_out", False) for one in made["inputs"]) == 3
    assert "2 of 6 nets" not in str(made["inputs"][2]["caveats"])
    assert made["inputs"][0]["caveats"] == ["1 of 6 nets are constant classifiers"]


def test_without_held_out_examples_nothing_is_best(tests: list[Path], tmp_path: Path) -> None:
    assert invoke(*tests, "-o", tmp_path / "fig4.pdf", "--single", "--moments").exit_code == 0
    assert all(row["best"] == "False" for row in rows(tmp_path / "fig4-rates.csv"))
    assert "best rate" not in (tmp_path / "fig4-effects.csv").read_text()


def test_rates_are_not_chosen_on_what_is_drawn(tests: list[Path], tmp_path: Path) -> None:
    done = invoke(*tests, "--holdout", tests[0], "-o", tmp_path / "fig4.pdf")
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "is of the examples that are drawn" in done.output
    assert not list(tmp_path.glob("fig4*"))


def test_bad_input_is_one_sentence(tests: list[Path], tmp_path: Path) -> None:
    done = invoke(hessian().save(tmp_path / "h.h5"), "-o", tmp_path / "fig4.pdf")
    assert (done.exit_code, done.output.count("\n")) == (1, 1) and "landscape evaluate CKPT" in done.output
    done = invoke(*tests, "--quantity", "pgd10", "-o", tmp_path / "fig4.pdf")
    assert (done.exit_code, done.output.count("\n")) == (2, 1) and "did you mean pgd20" in done.output
    done = invoke(*tests, "-o", tmp_path / "fig4.txt")
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
