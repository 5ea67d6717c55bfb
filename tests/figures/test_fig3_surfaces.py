from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from matplotlib.contour import QuadContourSet

from figures.fig3_surfaces import compose, main
from landscape.plots import DOUBLE, SINGLE
from landscape.plots.contour import Panel, panel_of
from tests.results.made import hessian
from tests.results.made_surface import SKIPPED, surface


def trained(eps: float, **attrs: Any) -> Any:
    """A net trained at `eps`, attacked at three radii: its own, the ones below and above."""
    return surface(eps=(0.0, 0.1, 0.2), train_eps=eps, training={"eps": eps, "seed": 3}, **attrs)


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    return [trained(eps).save(tmp_path / "results" / f"n{eps}.h5") for eps in (0.1, 0.0)]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def words(figure: Any) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def test_it_writes_pictures_every_value_and_how_they_were_made(results: list[Path], tmp_path: Path) -> None:
    done = invoke(*results, "-o", tmp_path / "fig.pdf")
    assert done.exit_code == 0, done.output
    assert {path.suffix for path in tmp_path.glob("fig.*")} == {".pdf", ".png", ".csv", ".json"}
    rows = list(csv.DictReader((tmp_path / "fig.csv").read_text().splitlines()))
    assert [row["train_eps"] for row in rows[:: 6 * 4]] == ["0.0", "0.1"]  # in the order of training, not of the files
    assert {(row["train_eps"], row["eps"]) for row in rows} == {("0.0", "0.0"), ("0.1", "0.1")}
    result = trained(0.1)
    for row in rows[24:]:
        column, line = (int(np.argmin(np.abs(result.arrays[name] - float(row[name])))) for name in "xy")
        assert float(row["loss"]) == result.loss[1, line, column]
        assert (row["status"], row["training_seed"]) == ("evaluated", "3")
    made = json.loads((tmp_path / "fig.json").read_text())
    assert [(entry["eps"], entry["sha256"]) for entry in made["inputs"]] == [
        (0.0, hashlib.sha256(results[1].read_bytes()).hexdigest()),
        (0.1, hashlib.sha256(results[0].read_bytes()).hexdigest()),
    ]
    assert made["outputs"] == ["fig.pdf", "fig.png", "fig.csv"]
    assert made["command"].startswith("fig3_surfaces.py")


def test_one_radius_for_all_may_be_asked_for(results: list[Path], tmp_path: Path) -> None:
    assert invoke(*results, "-o", tmp_path / "fig.pdf", "--eps", "0.2").exit_code == 0
    made = json.loads((tmp_path / "fig.json").read_text())
    assert [entry["eps"] for entry in made["inputs"]] == [0.2, 0.2]
    done = invoke(*results, "-o", tmp_path / "g.pdf", "--eps", "0.3")
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "eps = 0.3 is not in this surface, which has 0, 0.1, 0.2" in done.output


@pytest.mark.parametrize("width", [SINGLE, DOUBLE])
def test_all_panels_share_levels_heights_and_view(width: float) -> None:
    panels = [Panel(trained(eps), rung) for rung, eps in enumerate((0.0, 0.1, 0.2))]
    figure = compose(panels, width=width, cap=1.5)
    axes: list[Any] = [ax for ax in figure.axes if ax.get_visible()]
    reliefs = [ax for ax in axes if ax.name == "3d"]
    contours = [item for ax in axes for item in ax.collections if isinstance(item, QuadContourSet) and item.filled]
    assert len(reliefs) == len(contours) == 3
    assert {ax.get_zlim() for ax in reliefs} == {(0, 1.5)}
    assert len({(ax.elev, ax.azim) for ax in reliefs}) == 1
    assert {item.levels[-1] for item in contours} == {contours[0].levels[-1]} == {1.5}
    assert len({tuple(item.levels) for item in contours}) == 1
    assert "loss (nats), cap 1.5" in {ax.get_ylabel() for ax in axes}
    figure.canvas.draw()
    page = figure.get_window_extent()
    for ax in reliefs:
        box = ax.get_window_extent()
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert box.y1 <= page.y1


def test_panels_that_do_not_compare_say_so() -> None:
    alike = compose([panel_of(trained(eps)) for eps in (0.0, 0.1)])
    assert "panels differ" not in words(alike)
    gap = np.full((3, 4, 6), 0.01)
    other = trained(0.1, x=np.linspace(-1, 1, 6), attack_gap=gap, n_examples=99, data_sha256="ef" * 32)
    text = words(compose([panel_of(trained(0.0)), panel_of(other)]))
    assert "panels differ in data; N (2,000 / 99); range; audit (some have none)" in text
    assert "! ε = 0: attack not audited" in text


def test_what_was_skipped_makes_the_cap(results: list[Path]) -> None:
    change = {(rung, 3, 5): (np.nan, SKIPPED) for rung in range(3)}
    figure = compose([panel_of(trained(0.1, change=change, cap=2.5))])
    assert "loss (nats), cap 2.5" in {ax.get_ylabel() for ax in figure.axes}
    assert "with a clean loss beyond the cap, not attacked" in words(figure)


def test_bad_input_is_one_sentence(results: list[Path], tmp_path: Path) -> None:
    line = trained(0.1, y=[0.0]).save(tmp_path / "line.h5")
    other = hessian().save(tmp_path / "hessian.h5")
    for words_, said, code in (
        ([line], "is a line, and fig. 3b-e shows planes", 1),
        ([other], "none of the 1 files is a surface result", 1),
        (results * 4, "8 surfaces came, and a page has room for 6", 2),
        ([tmp_path / "none.h5"], "is not there", 1),
        ([*results, "--eps", "4"], "did you mean 4/255?", 2),
    ):
        done = invoke(*words_, "-o", tmp_path / "out" / "fig.pdf")
        assert (done.exit_code, done.output.count("\n")) == (code, 1), done.output
        assert said in done.output
    assert not (tmp_path / "out").exists()
    done = invoke(*results, other, "-o", tmp_path / "fig.pdf")
    assert f"left out {other}" in done.output
