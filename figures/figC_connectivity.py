"""Draw fig. C, mode connectivity: loss and error between pairs of nets trained at several radii, and their barriers.

    python figures/figC_connectivity.py results/*.connect-*.h5 results/*.surface-*.h5 -o figC.pdf

draws a column for each radius of training, each pair of nets thin and the median thick, curves solid and lines dashed;
below, the barriers over pairs, against the training of the curves where there are several, and planes of surfaces that
go through a pair and its curve. Writes a PDF and a PNG, the values and the barriers as CSV, how all was made as JSON.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from matplotlib.axes import Axes

# Run as a script, Python sees this folder and not the one beside it: a checkout that is not installed works too.
_root = Path(__file__).resolve().parent.parent
if __package__ in (None, "") and (_root / "landscape" / "__init__.py").is_file():
    sys.path.insert(0, str(_root))

from landscape.figures.outputs import (  # noqa: E402
    Drawn,
    csv_text,
    input_record,
    output_stem,
    run,
    stamp_option,
    write_outputs,
)

from landscape.errors import ResultError, UsageError  # noqa: E402
from landscape.plots import DOUBLE, SINGLE, PaperFigure, style  # noqa: E402
from landscape.plots.connect import ERROR, LOSS, prefixes_of, scale_losses, way_handles  # noqa: E402
from landscape.plots.connect_figure import pair_name, stamps  # noqa: E402
from landscape.plots.connectivity import draw_budgets, draw_pair_barriers, draw_pairs, draw_plane  # noqa: E402
from landscape.plots.contour import add_colour_bar, common_scale, panel_of  # noqa: E402
from landscape.plots.labels import footnote  # noqa: E402
from landscape.plots.pairs import (  # noqa: E402
    LEAST,
    Group,
    budget_of,
    groups_of,
    is_plane_of,
    shared_nets,
    ways_at,
)
from landscape.results import KINDS, Result, caveats, read_kind, read_result  # noqa: E402
from landscape.results.connectivity import CURVE, LINE, splits_of, way_of  # noqa: E402
from landscape.units import format_eps, parse_eps  # noqa: E402

KIND = "connect"
TOLD = ("train_eps", "checkpoint", "checkpoint_sha256", "curve", "interior_points", "steps", "command")
PATHS = {CURVE: "curve", LINE: "line"}
MOST = 8  # columns that a page has room for
Plane = tuple[Result, Result]  # a surface, and the curve that lies on it


def draw(
    inputs: Sequence[Path],
    out: Path,
    *,
    eps: float | None = None,
    split: str | None = None,
    width: float = DOUBLE,
    command: str = "",
) -> Drawn:
    """Draw the connect results among `inputs`, and the surfaces that are planes through one of their curves.

    Attacked at `eps` (left out: each group at the radius that its nets were trained at), on the files' own split or on
    another. Returns the files written (PDF, PNG, two CSV, JSON) and the inputs left out. Raises ResultError where a
    file is damaged or none is a connect result, UsageError for a pair that comes twice and for a split that is lacking.
    """
    stem = output_stem(out, "figC")
    read = {path: read_result(path, only=_small(kind)) for path in inputs if (kind := read_kind(path)) in _DRAWN}
    used = {path: result for path, result in read.items() if result.kind == KIND}
    if not used:
        raise ResultError(
            f"none of the {len(inputs)} files is a connect result; make one with: landscape connect A.pt B.pt"
        )
    planes: dict[Path, Plane] = {}
    for path, surface in read.items():
        owner = next((r for r in used.values() if surface.kind == "surface" and is_plane_of(surface, r)), None)
        if owner is not None:
            planes[path] = (surface, owner)
    drawn = {path: result for path, result in read.items() if path in used or path in planes}
    skipped = [path for path in inputs if path not in drawn]
    figure = compose(list(used.values()), list(planes.values()), eps=eps, split=split, width=width)
    tables = {".csv": _values(used, split), "-barriers.csv": _barriers(used)}
    records = [input_record(path, result, _told(result)) for path, result in drawn.items()]
    return write_outputs(stem, figure, tables, inputs=records, left_out=skipped, command=command), skipped


def compose(
    results: Sequence[Result],
    planes: Sequence[Plane] = (),
    *,
    eps: float | None = None,
    split: str | None = None,
    width: float = DOUBLE,
) -> PaperFigure:
    """Return the figure, `width` inches wide: loss over error for each group of pairs, then barriers and planes."""
    groups = groups_of(results)
    if len(groups) > MOST:
        raise UsageError(f"{len(groups)} ways of training came, and a page has room for {MOST}; name fewer files")
    shown = [result for group in groups for result in group.results]
    colours = style.eps_colours(radius for group in groups for radius in group.radii(eps))
    most = 4 if width >= DOUBLE else 2
    columns = min(most, len(groups))
    blocks = math.ceil(len(groups) / columns)
    summaries, maps = _summaries(groups, eps, split, colours), _maps(planes, eps)
    # A plane or two stand beside the barriers where there is room; more have rows of their own, and are larger.
    together = len(summaries) + len(maps) <= most
    rows = [[*summaries, *maps]] if together else [summaries, maps]
    across = [min(len(row), most if row[0] in summaries else max(1, most // 2)) for row in rows]
    feet = [math.ceil(len(row) / count) for row, count in zip(rows, across, strict=True)]
    entries = way_handles(shown, colours, deployed=False)
    heights = [0.2 * math.ceil(len(entries) / (2 * most)), 3.0 * blocks]
    heights += [1.8 * count if row[0] in summaries else 2.4 * count for row, count in zip(rows, feet, strict=True)]
    letters = iter("abcdefghijklmnopqr")
    with style.paper_style():
        figure = style.new_figure(width)
        parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights)
        parts[0].legend(handles=entries, loc="center", ncols=2 * most, handlelength=1.6, columnspacing=1.2, fontsize=6)
        axes = parts[1].subplots(2 * blocks, columns, squeeze=False, height_ratios=[1.3, 1] * blocks)
        losses, errors = (list(axes[first::2].ravel()) for first in (0, 1))
        for ax in [*losses[len(groups) :], *errors[len(groups) :]]:
            ax.set_visible(False)
        for group, *pair in zip(groups, losses, errors, strict=False):
            for ax, name in zip(pair, (LOSS, ERROR), strict=True):
                draw_pairs(ax, group, name, eps=eps, split=split, colours=colours)
            pair[0].set_title(f"{next(letters)}  {_title(group)}", fontsize=7, loc="left")
            pair[0].tick_params(labelbottom=False)
            pair[1].set_xlabel("t")
        _share(losses[: len(groups)], errors[: len(groups)], groups, eps, split, columns)
        for part, row, high, wide in zip(parts[2:], rows, feet, across, strict=True):
            for number, ax in enumerate(part.subplots(high, wide, squeeze=False).ravel()):
                ax.set_visible(number < len(row))
                if number < len(row):
                    title, paint = row[number]
                    ax.set_title(f"{next(letters)}  {title}", fontsize=7, loc="left")
                    paint(ax)
        surfaces = [surface for surface, _ in planes]
        warned = [f"! plane: {clause}" for surface in surfaces for clause in caveats(surface)]
        note = " ".join([_note(groups, split), *(f"Plane: {footnote([surface])}." for surface in surfaces)])
        lines = style.stamp(figure, [*stamps(shown), *_sharing(groups), *warned]) + style.annotate(figure, note)
        figure.set_figheight(sum(heights) + 0.1 * lines)
    return figure


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stamp_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", default="figC.pdf", show_default=True, type=click.Path(path_type=Path))
@click.option("--eps", help="Radius of the attack, such as 4/255.  [default: that of each net's training]")
@click.option("--split", type=click.Choice(["train", "test"]), help="[default: the one that the files were made for]")
@click.option("--single", is_flag=True, help="Fill one column of the page (3.25 in) instead of both (6.75 in).")
def main(files: tuple[Path, ...], out: Path, eps: str | None, split: str | None, single: bool) -> None:
    """Draw the curves between nets in FILES (.h5), a column for each training, and the planes that they lie in.

    Writes a PDF and a PNG, whichever OUT names, values and barriers as CSV, and how they were made as JSON.
    Files of these names are replaced.
    """

    def drawn(command: str) -> Drawn:
        radius = None if eps is None else parse_eps(eps)
        return draw(files, out, eps=radius, split=split, width=SINGLE if single else DOUBLE, command=command)

    run("figC_connectivity.py", KIND, drawn)


Panel = tuple[str, Callable[[Axes], None]]  # what it is called, and what draws it


def _summaries(
    groups: Sequence[Group], eps: float | None, split: str | None, colours: dict[float, style.Colour]
) -> list[Panel]:
    """Return the panels of barriers under the curves."""
    asked: Any = {"eps": eps, "split": split, "colours": colours}
    found: list[Panel] = [
        ("barriers", lambda ax: draw_pair_barriers(ax, groups, **asked)),
        ("relative to the ends", lambda ax: draw_pair_barriers(ax, groups, relative=True, **asked)),
    ]
    if any(len({budget_of(result)[0] for result in group.budgets}) > 1 for group in groups):
        found.append(("with more training", lambda ax: draw_budgets(ax, groups, **asked)))
    return found


def _maps(planes: Sequence[Plane], eps: float | None) -> list[Panel]:
    """Return the panels of the planes through pairs and their curves."""
    return [
        (
            f"a plane, {_attacked(panel_of(surface, eps).eps)}",
            partial(_paint_plane, surface=surface, result=result, eps=eps),
        )
        for surface, result in planes
    ]


def _paint_plane(ax: Axes, surface: Result, result: Result, eps: float | None) -> None:
    scale = common_scale([panel_of(surface, eps)])
    contours = draw_plane(ax, surface, result, eps=eps, scale=scale)
    ax.set_xlabel("from A towards B")
    ax.set_ylabel("towards the curve")
    add_colour_bar(ax.figure, contours, [ax], scale)


def _share(
    losses: Sequence[Axes],
    errors: Sequence[Axes],
    groups: Sequence[Group],
    eps: float | None,
    split: str | None,
    columns: int,
) -> None:
    """Give all losses one scale and all errors one; numbers and names stand on the left column alone."""
    ways = [
        way
        for group in groups
        for radius in group.radii(eps)
        for prefix in PATHS
        for way, _ in ways_at(group.results, prefix, radius, split=split)
    ]
    scale_losses(losses, ways)
    top = max(ax.get_ylim()[1] for ax in errors)
    for number, pair in enumerate(zip(losses, errors, strict=True)):
        pair[1].set_ylim(0, top)
        for ax in pair if number % columns else ():
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)


def _title(group: Group) -> str:
    return f"trained at {group.label}" if math.isfinite(group.eps) else "trained at unlike or unknown ε"


def _attacked(eps: float) -> str:
    return "clean" if eps == 0 else f"ε = {format_eps(eps)}"


def _sharing(groups: Sequence[Group]) -> list[str]:
    found = []
    for group in groups:
        if count := shared_nets(group):
            nets = f"{count} net{'s are' if count > 1 else ' is'} in several pairs of {group.label}"
            found.append(f"! {nets}: these are no independent repeats, and intervals over pairs are too narrow")
    return found


def _note(groups: Sequence[Group], split: str | None) -> str:
    results = [result for group in groups for result in group.results]
    counts = sorted({len(group.results) for group in groups})
    several = counts[-1] > 1
    pairs = " to ".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))
    parts = [f"Thin: each of {pairs} pairs of nets; thick: their median." if several else ""]
    if counts[-1] >= LEAST:
        parts.append(
            "Barriers: small, each pair; large and as brackets above the median's chord, their mean, "
            "with Student's 95 % interval over pairs."
        )
    if counts[0] < LEAST:
        parts.append("Groups of fewer than three pairs: each with its 95 % interval over examples.")
    parts.append("Filled: curves, whose barriers are upper bounds; open: lines.")
    steps = sorted({int(str(result.attrs["steps"])) for result in results})
    if len(steps) > 1:
        parts.append(f"Curves shown were trained for {steps[0]:,} to {steps[-1]:,} steps.")
    own = str(results[0].attrs["split"])
    told = footnote(results)
    if split is not None and split != own:
        parts.append(f"Values of the {split} split.")
    return " ".join(part for part in [*parts, f"{told}."] if part)


def _values(results: dict[Path, Result], split: str | None) -> str:
    rows = []
    for path, result in results.items():
        for prefix in prefixes_of(result):
            way = way_of(result, prefix, split=split)
            for rung, eps in enumerate(way.eps.tolist()):
                for place, t in enumerate(way.t.tolist()):
                    values = [
                        float(array[rung, place]) for array in (way.loss, way.loss_se, way.error_rate, way.error_se)
                    ]
                    rows.append([path, result.attrs["train_eps"], PATHS[prefix], eps, t, *values])
    return csv_text(["file", "train_eps", "path", "eps", "t", "loss", "loss_se", "error_rate", "error_rate_se"], rows)


def _barriers(results: dict[Path, Result]) -> str:
    rows = []
    for path, result in results.items():
        known = [path, result.attrs["train_eps"], pair_name(result), *(result.attrs[name] for name in _BUDGET)]
        for split in splits_of(result):
            for prefix in prefixes_of(result):
                way = way_of(result, prefix, split=split)
                for rung, eps in enumerate(way.eps.tolist()):
                    values = (way.barrier, way.barrier_low, way.barrier_high, way.over_ends, way.relative, way.top_t)
                    found = [float(array[rung]) for array in values]
                    rows.append([*known, split, PATHS[prefix], eps, *way.ends[rung].tolist(), *found])
    header = ["file", "train_eps", "nets", *_BUDGET, "split", "path", "eps", "loss_0", "loss_1", "barrier"]
    return csv_text([*header, "barrier_low", "barrier_high", "over_ends", "relative", "top_t"], rows)


_BUDGET = ("curve", "interior_points", "epochs", "steps", "curve_length", "line_length")
_DRAWN = (KIND, "surface")


def _told(result: Result) -> tuple[str, ...]:
    return TOLD if result.kind == KIND else ("checkpoint", "checkpoint_sha256", "command")


def _small(kind: str) -> list[str]:
    return [name for name, array in KINDS[kind].arrays.items() if not {"P", "n"} & {*array.dims}]


if __name__ == "__main__":
    main()
