from __future__ import annotations

import importlib
import json
from pathlib import Path

import click
import landscape.figures
import pytest
from click.testing import CliRunner
from landscape.figures import fig1_theory

from landscape.plots import style

FOLDER = Path(landscape.figures.__path__[0])
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "outputs"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_takes_a_stamp(script: str) -> None:
    command = importlib.import_module(f"landscape.figures.{script}").main
    assert isinstance(command, click.Command)
    assert "--stamp" in {flag for parameter in command.params for flag in parameter.opts}


def test_a_stamp_stands_above_the_figure_and_in_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr("landscape.figures.outputs.save_figure", lambda figure, path: drawn.append(figure) or path)
    done = CliRunner().invoke(fig1_theory.main, ["-o", str(tmp_path / "a.pdf"), "--stamp", "partial: 1 of 2 inputs"])
    assert done.exit_code == 0, done.output
    assert drawn[0].get_suptitle().splitlines()[0] == "partial: 1 of 2 inputs"
    assert json.loads((tmp_path / "a.json").read_text())["stamps"] == ["partial: 1 of 2 inputs"]


def test_a_stamp_stands_over_those_of_the_figure_and_makes_it_higher() -> None:
    with style.paper_style():
        figure = style.new_figure()
        style.stamp(figure, ["! constant classifier"])
        before = figure.get_figheight()
        style.stamp_more(figure, ["partial: 1 of 2 inputs"])
    assert figure.get_suptitle() == "partial: 1 of 2 inputs\n! constant classifier"
    assert figure.get_figheight() == pytest.approx(before + 0.1)
    style.stamp_more(figure, [])
    assert figure.get_figheight() == pytest.approx(before + 0.1)
