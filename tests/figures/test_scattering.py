"""The scattering study as a figure: nets at their own eps, the verdicts of `landscape compare`, what is left out."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from figures.scattering import main
from tests.results.made import hessian
from tests.results.made_scattering import scattering


def invoke(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    results = [scattering(eps, seed) for eps in (0.0, 0.1, 0.2) for seed in range(3)]
    results += [scattering(eps, seed, along="to", positions="share") for eps in (0.1, 0.2) for seed in range(3)]
    results.append(scattering(0.1, 0, eps=0.2))
    return [result.save(tmp_path / "results" / f"{number}.h5") for number, result in enumerate(results)]


def test_it_writes_pictures_numbers_and_verdicts(files: list[Path], tmp_path: Path) -> None:
    done = invoke(*files, "-o", tmp_path / "s.pdf")
    assert done.exit_code == 0, done.output
    assert {path.suffix for path in tmp_path.glob("s.*")} == {".pdf", ".png", ".csv", ".json"}
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    by = {(row["along"], row["quantity"], row["row"]): row for row in rows if row["row"] not in ("net", "mean")}
    box = by["random", "box_cosine", "0.2 against 0.1"]
    assert (float(box["value"]), box["verdict"]) == (pytest.approx(-0.02), "falls with eps")
    assert (
        "random",
        "gradient_cosine",
        "trend, 0 to 0.2",
    ) in by  # without an attack there is a gradient, and no cosine
    assert float(by["to", "box_cosine", "0.2 against 0.1"]["value"]) == pytest.approx(-0.2)
    made = json.loads((tmp_path / "s.json").read_text())
    assert len(made["inputs"]) == 15
    assert made["left_out"] == [str(files[-1])]  # attacked at another radius than it was trained at


def test_bad_input_is_one_sentence(files: list[Path], tmp_path: Path) -> None:
    other = hessian().save(tmp_path / "hessian.h5")
    for words, said in (
        ([other], "none of the 1 files is a scattering result"),
        ([files[-1]], "no file is of the radius that its net was trained at"),
    ):
        done = invoke(*words, "-o", tmp_path / "out" / "s.pdf")
        assert (done.exit_code, done.output.count("\n")) == (1, 1), done.output
        assert said in done.output
    assert not (tmp_path / "out").exists()
