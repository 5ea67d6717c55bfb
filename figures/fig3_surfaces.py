"""Draw fig. 3b-e, the loss around nets trained at several radii: relief above, contours below, all on one scale.

    python figures/fig3_surfaces.py results/*.surface-*.h5 -o fig3-surfaces.pdf

draws one column for each result of `landscape surface` over a plane, in the order of the radius trained at, each
attacked at its own; writes a PDF and a PNG, every value as CSV, and how they were made as JSON.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.axes import Axes

# Run as a script, Python sees this folder and not the one beside it: a checkout that is not installed works too.
_root = Path(__file__).resolve().parent.parent
if __package__ in (None, "") and (_root / "landscape" / "__init__.py").is_file():
    sys.path.insert(0, str(_root))

from landscape.figures.outputs import (  # noqa: E402
    Drawn,
    csv_text,
    input_record,
    of_kind,
    output_stem,
    run,
    stamp_option,
    training_seed,
    write_outputs,
)

from landscape.errors import ResultError, UsageError  # noqa: E402
from landscape.plots import DOUBLE, SINGLE, PaperFigure, draw_contour, draw_relief, style  # noqa: E402
from landscape.plots.contour import Panel, Scale, add_colour_bar, common_scale, panel_of, shares_scale  # noqa: E402
from landscape.plots.surface import is_line, panel_labels, stamps, surface_note, wrap_labels  # noqa: E402
from landscape.results import KINDS, Result, read_result  # noqa: E402
from landscape.units import parse_eps  # noqa: E402

KIND = "surface"
TOLD = ("train_eps", "checkpoint", "checkpoint_sha256", "command")
MOST = 6  # columns that a page has room for
ARRAYS = tuple(name for name, array in KINDS[KIND].arrays.items() if not {"P", "n"} & {*array.dims})
VALUES = ("loss", "loss_se", "error_rate", "attack_gap", "attack_gap_se", "status")


def draw(
    inputs: Sequence[Path],
    out: Path,
    *,
    eps: float | None = None,
    cap: float | None = None,
    width: float = DOUBLE,
    command: str = "",
) -> Drawn:
    """Draw the planes among `inputs`, at the radius `eps` (default: each at that of its net's training).

    Returns the files written (PDF, PNG, CSV, JSON) and the inputs of other kinds. Raises ResultError where a file is
    damaged, is a line, or none is left, UsageError where there are more than six or one has no such radius.
    """
    stem = output_stem(out, "fig3-surfaces")
    used, skipped = of_kind(inputs, KIND, remedy="landscape surface CKPT")
    read = [(path, read_result(path, only=ARRAYS)) for path in used]
    for path, result in read:
        if is_line(result):
            raise ResultError(f"{path} is a line, and fig. 3b-e shows planes; draw it with: landscape plot {path}")
    if len(read) > MOST:
        raise UsageError(f"{len(read)} surfaces came, and a page has room for {MOST}; name fewer")
    read.sort(key=lambda pair: (np.nan_to_num(float(str(pair[1].attrs["train_eps"])), nan=np.inf), str(pair[0])))
    panels = [panel_of(result, eps) for _, result in read]
    records = [
        {**input_record(path, result, TOLD), "eps": panel.eps}
        for (path, result), panel in zip(read, panels, strict=True)
    ]
    tables = {".csv": _csv([path for path, _ in read], panels)}
    figure = compose(panels, width=width, cap=cap)
    return write_outputs(stem, figure, tables, inputs=records, left_out=skipped, command=command), skipped


def compose(panels: Sequence[Panel], *, width: float = DOUBLE, cap: float | None = None) -> PaperFigure:
    """Return the figure of planes, `width` inches wide: each in relief over its contours, all on one scale.

    They stand in one row, in a figure of one column in rows of two.
    """
    scale = common_scale(panels, cap=cap)
    columns = min(len(panels), MOST if width >= DOUBLE else 2)
    room = (width - 0.75) / columns
    rows = [list(range(first, min(first + columns, len(panels)))) for first in range(0, len(panels), columns)]
    labels = panel_labels(panels)
    with style.paper_style():
        figure = style.new_figure(width)
        parts: Any = figure.subfigures(2 * len(rows), 1)
        axes = [_draw_contours(parts[2 * k + 1], panels, row, columns, room, scale) for k, row in enumerate(rows)]
        lines = style.stamp(figure, stamps(panels))
        lines += style.annotate(figure, f"{surface_note(panels)} Height: the loss, from 0 to {scale.cap:.3g} nats.")
        height = 0.95 * room + 0.1 + _contour_height(panels[0].result, room)
        figure.set_figheight(len(rows) * height + 0.1 * lines)
        # Reliefs stand by hand over the contours, once these have their places: what a layout leaves around three
        # dimensions is mostly white.
        figure.draw_without_rendering()
        for k, row in enumerate(rows):
            middles = [ax.get_position().x0 + ax.get_position().width / 2 for ax in axes[k]]
            wide = min([room / width, *np.diff(middles)])
            for middle, number in zip(middles, row, strict=True):
                place = (middle - wide / 2, 0.05, wide, 0.95)
                relief: Any = parts[2 * k].add_axes(place, projection="3d")
                relief.set_in_layout(False)
                relief.patch.set_alpha(0)  # neighbours overlap where both are white
                draw_relief(relief, panels[number].result, eps=panels[number].eps, scale=scale)
                size = 8 if room > 1.2 else 6.5
                parts[2 * k].text(middle, 0.985, labels[number], ha="center", va="top", fontsize=size)
    return figure


def _draw_contours(
    part: Any, panels: Sequence[Panel], row: Sequence[int], columns: int, room: float, scale: Scale
) -> list[Axes]:
    """Draw the contours of one row of panels `room` inches wide, the axes named once where alike; return the axes."""
    axes = list(part.subplots(1, columns, squeeze=False).ravel())
    contours: Any = None
    for ax, number in zip(axes, row, strict=False):
        contours = draw_contour(ax, panels[number].result, eps=panels[number].eps, scale=scale)
        wrap_labels(ax, room)
        if number != row[0]:
            ax.set_ylabel("")
            ax.tick_params(labelleft=_range(panels[number].result) != _range(panels[row[0]].result))
    for ax in axes[len(row) :]:
        ax.set_visible(False)
    add_colour_bar(part, contours, axes, scale)
    return axes[: len(row)]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stamp_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", default="fig3-surfaces.pdf", show_default=True, type=click.Path(path_type=Path))
@click.option("--eps", help="Radius of all panels, such as 4/255.  [default: each net's own, or the nearest to it]")
@click.option("--cap", type=click.FloatRange(0, min_open=True), help="Loss at which the scale ends, in nats.")
@click.option("--single", is_flag=True, help="Fill one column of the page (3.25 in) instead of both (6.75 in).")
def main(files: tuple[Path, ...], out: Path, eps: str | None, cap: float | None, single: bool) -> None:
    """Draw the planes in FILES (.h5), one column each: relief over contours, all on one scale.

    Writes a PDF and a PNG, whichever OUT names, the numbers as CSV, and how they were made as JSON.
    Files of these names are replaced.
    """
    width = SINGLE if single else DOUBLE

    def drawn(command: str) -> Drawn:
        return draw(files, out, eps=None if eps is None else _radius(eps), cap=cap, width=width, command=command)

    run("fig3_surfaces.py", KIND, drawn)


def _radius(text: str) -> float:
    # The norm is the files' to know: a bare integer is refused as it is for l-inf, but 0.
    return parse_eps(text)


def _csv(paths: Sequence[Path], panels: Sequence[Panel]) -> str:
    codes = KINDS[KIND].arrays["status"].codes
    rows = []
    for path, panel in zip(paths, panels, strict=True):
        arrays = panel.result.arrays
        known = [path, panel.result.attrs["train_eps"], training_seed(panel.result), panel.eps]
        for row, column in itertools.product(range(arrays["y"].size), range(arrays["x"].size)):
            values = [arrays[name][panel.rung, row, column].item() for name in VALUES]
            rows.append([*known, arrays["x"][column], arrays["y"][row], *values[:-1], codes[values[-1]]])
    return csv_text(["file", "train_eps", "training_seed", "eps", "x", "y", *VALUES], rows)


def _range(result: Result) -> tuple[float, ...]:
    return tuple(float(edge) for name in "xy" for edge in (result.arrays[name].min(), result.arrays[name].max()))


def _contour_height(result: Result, room: float) -> float:
    if not shares_scale(result):
        return 0.8 * room + 0.5
    x_low, x_high, y_low, y_high = _range(result)
    return (room - 0.2) * (y_high - y_low) / (x_high - x_low) + 0.5


if __name__ == "__main__":
    main()
