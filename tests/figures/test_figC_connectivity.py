from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from figures.figC_connectivity import compose, main
from landscape.plots import DOUBLE, SINGLE
from tests.plots.test_pairs import POINTS, marks, pair, plane
from tests.results.made import hessian
from tests.results.made_connect import connect
from tests.results.made_surface import surface


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [pair(eps, number) for eps in (0.1, 0.0) for number in range(3)]
    return [result.save(tmp_path / "results" / f"{k}.h5") for k, result in enumerate(made)]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def words(figure: object) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())  # type: ignore[attr-defined]


def test_it_writes_pictures_values_barriers_and_how_they_were_made(files: list[Path], tmp_path: Path) -> None:
    other = hessian().save(tmp_path / "h.h5")
    done = invoke(*files, other, "-o", tmp_path / "figC.pdf")
    assert done.exit_code == 0, done.output
    assert f"left out {other}" in done.output
    assert {path.name for path in tmp_path.glob("figC*")} == {
        "figC.pdf", "figC.png", "figC.csv", "figC-barriers.csv", "figC.json",
    }  # fmt: skip
    values = list(csv.DictReader((tmp_path / "figC.csv").read_text().splitlines()))
    assert len(values) == 3 * (2 + 1) * 2 * 21  # pairs, radii, ways, places
    made = pair(0.1, 0)
    row = next(row for row in values if row["file"] == str(files[0]) and row["path"] == "line" and row["eps"] == "0.1")
    assert float(row["loss"]) == made.line_loss[1, 0]
    barriers = list(csv.DictReader((tmp_path / "figC-barriers.csv").read_text().splitlines()))
    found = [float(row["barrier"]) for row in barriers if (row["path"], row["eps"]) == ("curve", "0.1")]
    np.testing.assert_allclose(found, [0.2, 0.4, 0.6])
    assert {(row["split"], row["steps"], row["curve_length"]) for row in barriers} == {("train", "120", "12.5")}
    record = json.loads((tmp_path / "figC.json").read_text())
    assert record["inputs"][0]["sha256"] == hashlib.sha256(files[0].read_bytes()).hexdigest()
    assert record["left_out"] == [str(other)] and record["command"].startswith("figC_connectivity.py")


def test_a_column_for_each_training_and_panels_below() -> None:
    results = [pair(eps, number) for eps in (0.2, 0.0, 0.1) for number in range(3)]
    figure = compose([*results, pair(0.1, 0, steps=30)], [(plane(), connect(plane_points=POINTS))], width=DOUBLE)
    figure.canvas.draw()  # a layout that does not fit warns, and warnings are errors
    titles = [title for ax in figure.axes if (title := ax.get_title(loc="left"))]
    assert titles == [
        "a  trained at ε = 0", "b  trained at ε = 0.1", "c  trained at ε = 0.2", "d  barriers",
        "e  relative to the ends", "f  with more training", "g  a plane, ε = 0.1",
    ]  # fmt: skip
    losses = [ax for ax in figure.axes if marks(ax, "loss")]
    assert len({ax.get_ylim() for ax in losses}) == 1
    assert "Thin: each of 3 pairs of nets; thick: their median." in words(figure)
    assert "! plane: attack not audited" in words(figure) and "Plane: lenet:width=4 (P = 5);" in words(figure)


@pytest.mark.parametrize("width", [SINGLE, DOUBLE])
def test_few_or_many_groups_fit_the_page(width: float) -> None:
    compose([pair()], width=width).canvas.draw()
    made = [pair(eps, number) for eps in (0, 0.05, 0.1, 0.2, 0.3) for number in (0, 1)]
    figure = compose([*made, connect(curve="line", train_eps=0.4, eps=(0, 0.4))], width=width)
    figure.canvas.draw()
    assert "Groups of fewer than three pairs: each with its 95 % interval over examples." in words(figure)


def test_one_radius_and_the_other_split_may_be_asked_for(tmp_path: Path) -> None:
    made = [pair(0.1, k, train_eps=0.0, other="test") for k in range(2)]
    paths = [result.save(tmp_path / f"{k}.h5") for k, result in enumerate(made)]
    done = invoke(*paths, "--eps", "0.1", "--split", "test", "-o", tmp_path / "c.png", "--single")
    assert done.exit_code == 0, done.output
    figure = compose(made[:1], eps=0.1, split="test")
    curves = [line for ax in figure.axes for line in marks(ax, "loss")]
    assert len(curves) == 2  # clean and attacked, of nets that were not trained to be
    assert "Values of the test split." in words(figure)


def test_pairs_that_share_nets_and_curves_that_differ_are_stamped() -> None:
    shared = [pair(0.1, number, seeds=(0, number + 1)) for number in range(3)]
    text = words(compose(shared))
    assert "! 1 net is in several pairs of ε = 0.1: these are no independent repeats" in text
    assert "! results differ in interior points (1 / 3)" in words(compose([pair(), pair(0.0, interior_points=1)]))


def test_bad_input_is_one_sentence(files: list[Path], tmp_path: Path) -> None:
    done = invoke(hessian().save(tmp_path / "h.h5"), "-o", tmp_path / "f.pdf")
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "none of the 1 files is a connect result; make one with: landscape connect A.pt B.pt" in done.output
    twice = pair(0.1, 0).save(tmp_path / "again.h5")
    done = invoke(*files, twice, "-o", tmp_path / "f.pdf")
    assert done.exit_code == 2 and "came twice with one training of the curve" in done.output
    done = invoke(*files, "--split", "test", "-o", tmp_path / "f.pdf")
    assert done.exit_code == 2 and "there is no test split in this result, which has train" in done.output
    elsewhere = surface().save(tmp_path / "s.h5")
    done = invoke(*files, elsewhere, "-o", tmp_path / "f.pdf")
    assert done.exit_code == 0 and f"left out {elsewhere}" in done.output
    assert list(tmp_path.glob("f*")) != []
