from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from figures.sharpness import main
from tests.results.made import hessian
from tests.results.made_sharpness import sharpness

RADII = (0.0, 0.1, 0.2)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    results = [sharpness(eps, seed) for eps in RADII for seed in range(3)]
    results.append(sharpness(0.1, 0, eps=(0.1,), epoch=4, rises=False))
    return [result.save(tmp_path / "results" / f"{number}.h5") for number, result in enumerate(results)]


def invoke(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_it_writes_pictures_numbers_and_verdicts(files: list[Path], tmp_path: Path) -> None:
    done = invoke(*files, "-o", tmp_path / "s.pdf")
    assert done.exit_code == 0, done.output
    assert {path.suffix for path in tmp_path.glob("s.*")} == {".pdf", ".png", ".csv", ".json"}
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    own = [row for row in rows if (row["quantity"], row["eps"]) == ("lambda_1", "own")]
    assert sum(row["row"] == "net" for row in own) == 9  # the earlier checkpoint does not count
    trend = next(row for row in own if row["row"] == "trend, 0 to 0.2")
    assert (float(trend["value"]), trend["verdict"]) == (pytest.approx(30.6), "rises with eps")
    assert {row["relative_radius"] for row in rows if row["quantity"] == "worst_rise"} == {"0.005"}
    made = json.loads((tmp_path / "s.json").read_text())
    assert len(made["inputs"]) == 10


def test_bad_input_is_one_sentence(files: list[Path], tmp_path: Path) -> None:
    other = hessian().save(tmp_path / "hessian.h5")
    foreign = sharpness(0.2, 5, data_sha256="ef" * 32).save(tmp_path / "foreign.h5")
    dead = [sharpness(eps, 0, collapsed=True).save(tmp_path / f"dead{eps}.h5") for eps in RADII]
    for words, said, code in (
        (dead, "all 3 nets are constant classifiers, which have no sharpness to compare", 1),
        ([other], "none of the 1 files is a sharpness result", 1),
        ([*files, foreign], "data_sha256 differs", 1),
        ([files[0]], "a comparison needs two files or more", 1),
    ):
        done = invoke(*words, "-o", tmp_path / "out" / "s.pdf")
        assert (done.exit_code, done.output.count("\n")) == (code, 1), done.output
        assert said in done.output
    assert not (tmp_path / "out").exists()
