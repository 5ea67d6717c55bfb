"""The paper's look: column widths, 8 pt type that journals can embed, colours in the order of eps for every eye."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from ..errors import LandscapeError, UsageError
from ..files import atomic_path

SINGLE, DOUBLE = 3.25, 6.75  # inches: one column of a two-column page, and both
NOTE_SIZE = 5.5  # points: the footnote and the stamps
INK, GREY, ALARM = "#222222", "#6e6e6e", "#b3001b"
Colour = tuple[float, float, float, float]  # red, green, blue, alpha
FORMATS = (".pdf", ".png", ".svg")
_METADATA: dict[str, dict[str, str | None]] = {  # who drew it, and no date
    ".pdf": {"Creator": "Landscape", "CreationDate": None},
    ".png": {"Software": "Landscape"},
    ".svg": {"Creator": "Landscape", "Date": None},
}
_MARKS = (b"/Creator (Landscape)", b"Software\0Landscape", b"<dc:title>Landscape</dc:title>")  # how files hold that

PAPER: Any = {  # Any: matplotlib types its settings by a list of their names
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same picture on every machine
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.0,
    "lines.markersize": 2.0,
    "pdf.fonttype": 42,  # TrueType: what publishers accept, and text stays text
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "landscape",
    "savefig.dpi": 300,
    "figure.dpi": 150,
}


class PaperFigure(Figure):
    """A figure in the paper's style that shows itself in a notebook, with no pyplot and no global state behind it."""

    def _repr_png_(self) -> bytes:
        return _rendered(self, ".png", dpi=150)


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw in the paper's style within the block; matplotlib's own settings come back after it."""
    with mpl.rc_context(PAPER):
        yield


def new_figure(width: float = SINGLE) -> PaperFigure:
    """Return an empty figure of a width in inches, three quarters as high."""
    figure = PaperFigure(figsize=(width, 0.75 * width), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def eps_colours(values: Iterable[float]) -> dict[float, Colour]:
    """Return a colour for each eps, dark to light as it grows, told apart by colour-blind eyes and on grey paper."""
    ordered = sorted(set(values))
    colormap = mpl.colormaps["viridis"]
    # The last fifth of viridis is a yellow that white paper swallows.
    return {eps: colormap(0.8 * rank / max(1, len(ordered) - 1)) for rank, eps in enumerate(ordered)}


def stamp(figure: Figure, lines: Iterable[str]) -> int:
    """Write what a reader must not miss above the axes, one paragraph per line; return the number of lines."""
    size = NOTE_SIZE + 0.5
    wrapped = [piece for line in lines for piece in _wrapped(figure, line, size)]
    if wrapped:
        figure.suptitle("\n".join(wrapped), x=0.02, ha="left", fontsize=size, color=ALARM)
    return len(wrapped)


def stamp_more(figure: Figure, lines: Iterable[str]) -> None:
    """Write more lines above a finished figure, over the stamps that it has, and make it as much higher."""
    lines, before = list(lines), figure.get_suptitle()
    if lines:
        count = stamp(figure, [*lines, *before.splitlines()])
        figure.set_figheight(figure.get_figheight() + 0.1 * (count - len(before.splitlines())))


def annotate(figure: Figure, text: str) -> int:
    """Write a footnote under the axes, in as many lines as the width asks for; return their number."""
    lines = _wrapped(figure, text, NOTE_SIZE)
    figure.supxlabel("\n".join(lines), x=0.02, ha="left", fontsize=NOTE_SIZE, color=GREY)
    return len(lines)


def save_figure(figure: Figure, path: str | Path, *, overwrite: bool = True) -> Path:
    """Write a figure to `path` (.pdf, .png or .svg), whole or not at all, and return the path.

    The same figure gives the same bytes: no date is written. Raises UsageError on another suffix, LandscapeError where
    the path cannot be written or a value has no place on paper.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path} ends in {path.suffix or 'nothing'}; wanted {', '.join(FORMATS)}")
    drawn = _rendered(figure, path.suffix.lower())
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(drawn)
    return path


def drawn_by_landscape(path: str | Path) -> bool:
    """Say whether `save_figure` wrote the picture at `path`, as its metadata tell."""
    data = Path(path).read_bytes()
    return any(mark in data for mark in _MARKS)


def _wrapped(figure: Figure, text: str, size: float) -> list[str]:
    """Return the lines of a text that fill the figure's width, measured in the type that they are drawn in."""
    room = 0.96 * figure.bbox.width
    type_size = FontProperties(family=PAPER["font.sans-serif"], size=size)
    measure = RendererAgg(figure.bbox.width, figure.bbox.height, figure.dpi).get_text_width_height_descent
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure(longer, type_size, False)[0] <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _rendered(figure: Figure, suffix: str, dpi: float | None = None) -> bytes:
    buffer = io.BytesIO()
    with paper_style():
        try:
            figure.savefig(buffer, format=suffix[1:], dpi=dpi or PAPER["savefig.dpi"], metadata=_METADATA[suffix])
        except OverflowError as error:  # of matplotlib, for a number whose place on an axis is infinite
            raise LandscapeError("a value is too large to be drawn; landscape recheck says which are not so") from error
    return buffer.getvalue()
