from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.artist import Artist

from landscape.errors import LandscapeError, UsageError
from landscape.plots import DOUBLE, drawn_by_landscape, plot, save_figure
from landscape.plots.style import PAPER, eps_colours, new_figure, paper_style
from tests.results.made import hessian

ROOT = Path(__file__).resolve().parents[2]


def test_colours_go_from_dark_to_light_as_eps_grows_and_stay_off_white() -> None:
    colours = eps_colours([0.3, 0.0, 0.1, 0.1, 0.2])
    assert list(colours) == [0.0, 0.1, 0.2, 0.3]
    brightness = [np.dot(colour[:3], [0.299, 0.587, 0.114]) for colour in colours.values()]
    assert (np.diff(brightness) > 0.1).all()
    assert brightness[-1] < 0.75
    assert len(eps_colours([0.1])) == 1


def test_the_style_ends_with_its_block() -> None:
    before = mpl.rcParams["font.size"]
    with paper_style():
        assert mpl.rcParams["font.size"] == PAPER["font.size"] == 8
    assert mpl.rcParams["font.size"] == before


@pytest.mark.parametrize(("suffix", "start"), [(".pdf", b"%PDF"), (".png", b"\x89PNG"), (".SVG", b"<?xml")])
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, suffix: str, start: bytes) -> None:
    one, other = (save_figure(plot(hessian()), tmp_path / f"{name}{suffix}") for name in "ab")
    assert one.read_bytes().startswith(start)
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("suffix", [".pdf", ".png", ".svg"])
def test_a_picture_tells_who_drew_it(tmp_path: Path, suffix: str) -> None:
    assert drawn_by_landscape(save_figure(plot(hessian()), tmp_path / f"a{suffix}"))
    plot(hessian()).savefig(tmp_path / f"b{suffix}")
    assert not drawn_by_landscape(tmp_path / f"b{suffix}")


def test_pdf_fonts_are_embedded_as_truetype(tmp_path: Path) -> None:
    data = save_figure(plot(hessian(), width=DOUBLE), tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in data
    assert b"/Type3" not in data


def test_another_suffix_and_a_kept_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a.jpg ends in .jpg; wanted .pdf, .png, .svg"):
        save_figure(plot(hessian()), tmp_path / "a.jpg")
    (tmp_path / "a.png").write_bytes(b"before")
    with pytest.raises(LandscapeError, match="exists and is kept"):
        save_figure(plot(hessian()), tmp_path / "a.png", overwrite=False)
    assert (tmp_path / "a.png").read_bytes() == b"before"


def test_drawing_loads_neither_torch_nor_pyplot() -> None:
    code = (
        "import sys\nfrom tests.results.made import hessian\nhessian().plot()._repr_png_()\n"
        "print([name for name in ('torch', 'matplotlib.pyplot', 'xarray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


class Endless(Artist):
    """What matplotlib's locators do at an axis that ends at infinity."""

    def draw(self, renderer: object) -> None:
        raise OverflowError("cannot convert float infinity to integer")


def test_a_value_that_has_no_place_on_an_axis_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    with paper_style():
        figure = new_figure()
        figure.subplots().add_artist(Endless())
    with pytest.raises(LandscapeError, match="too large to be drawn"):
        save_figure(figure, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
