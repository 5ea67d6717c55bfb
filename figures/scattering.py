"""Draw the scattering study, "do perturbations scatter more the larger eps is?", from files of `landscape scattering`.

    python figures/scattering.py results/*.scattering-*.h5 -o scattering.pdf

writes scattering.pdf and scattering.png, the numbers in them as scattering.csv, and how they were made as
scattering.json.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

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
    write_outputs,
)

from landscape.errors import LandscapeError, ResultError  # noqa: E402
from landscape.plots import DOUBLE, PaperFigure, draw_groups, draw_nets, style  # noqa: E402
from landscape.plots.scattering import grounds, stamps  # noqa: E402
from landscape.results import Result, read_result  # noqa: E402
from landscape.results.comparison import Comparison, compare  # noqa: E402
from landscape.results.replicates import read_replicates  # noqa: E402
from landscape.units import format_eps  # noqa: E402

KIND = "scattering"
TOLD = ("eps", "train_eps", "along", "checkpoint", "checkpoint_sha256", "command")
# What is compared over seeds: the title, how the weights moved and what positions count, and the quantity.
GROUPS = (
    ("random shift", "random", "radius", "box_cosine"),
    ("equal rise", "random", "rise", "box_cosine"),
    ("training steps", "to", "share", "box_cosine"),
    ("first eigenvector", "top1", "radius", "box_cosine"),
    ("random shift", "random", "radius", "gradient_cosine"),
    ("random shift", "random", "radius", "adversary_share"),
)
LABELS = {
    "box_cosine": "cosine, centred",
    "gradient_cosine": "cosine of gradients",
    "adversary_share": "adversary's share",
}
# What is drawn against the shift: the cosine, its baseline, and the title.
CURVES = (
    ("perturbation_cosine", "random_cosine", "random shift\ndotted: two random vertices"),
    ("box_cosine", "restart_box_cosine", "random shift\ndotted: two random starts"),
)
Read = tuple[Path, Result]
Study = dict[tuple[str, str, str], Comparison | str]


def draw(inputs: Sequence[Path], out: Path, *, command: str = "") -> Drawn:
    """Draw the study of the scattering results among `inputs`; return the files written and the inputs left out.

    Each net counts at the radius that it was trained at. Raises ResultError where none is, or the nets do not compare.
    """
    stem = output_stem(out, "scattering")
    used, skipped = of_kind(inputs, KIND, remedy="landscape scattering CKPT...")
    read = [(path, read_result(path)) for path in used]
    own = [(path, result) for path, result in read if _is_own(result)]
    if not own:
        raise ResultError("no file is of the radius that its net was trained at; measure without --eps")
    found = {(along, where, name): compared(own, along, where, name) for _, along, where, name in GROUPS}
    figure = compose(own, found)
    records = [input_record(path, result, TOLD) for path, result in own]
    skipped = [*skipped, *(path for path, result in read if not _is_own(result))]
    return write_outputs(
        stem, figure, {".csv": _csv(found)}, inputs=records, left_out=skipped, command=command
    ), skipped


def compared(own: Sequence[Read], along: str, positions: str, quantity: str) -> Comparison | str:
    """Return the nets' comparison by their training radius at the middle position, or why there is none."""
    chosen = [
        path
        for path, result in own
        if _fits(result, along, positions) and (result.attrs["eps"] or "gradient" in quantity)
    ]
    if not chosen:
        return "not measured"
    try:
        found = compare(read_replicates(chosen, by="train_eps", quantity=quantity), by="train_eps")
    except LandscapeError as error:
        return str(error)
    return found if any(group.nets for group in found.groups) else "all nets are constant classifiers"


def compose(own: Sequence[Read], found: Study) -> PaperFigure:
    """Return the figure: two cosines against the shift with their baselines, and the nets by eps with the verdicts."""
    shifted = [result for _, result in own if _fits(result, "random", "radius")]
    attacked = [result for result in shifted if result.attrs["eps"]]
    known = [(title, name, found[along, where, name]) for title, along, where, name in GROUPS]
    measured = [(title, name, one) for title, name, one in known if isinstance(one, Comparison)]
    count = len(measured) + (len(CURVES) if attacked else 0)
    columns = 3 if count <= 6 else 4
    with style.paper_style():
        figure = style.new_figure(DOUBLE)
        panels: Any = figure.subplots(max(1, math.ceil(count / columns)), columns, squeeze=False)
        axes: list[Any] = list(panels.flat)
        titles: list[str] = []
        for name, baseline, title in CURVES if attacked else ():
            ax = axes[len(titles)]
            draw_nets(ax, attacked, name, baseline=baseline)
            ax.set_ylim(bottom=min(ax.get_ylim()[0], ax.get_ylim()[1] - 1.0))  # room for the legend under the floor
            titles.append(title)
        for title, name, comparison in measured:
            ax = axes[len(titles)]
            draw_groups(ax, comparison, label=LABELS[name])
            if name != "adversary_share":
                ax.set_ylim(*_room(comparison))
            titles.append(title)
        for letter, title, ax in zip("abcdefgh", titles, axes, strict=False):
            verdict = ax.get_title(loc="right")  # a panel is too narrow for both on one line
            ax.set_title("", loc="right")
            told = f"{letter}  {title}" + (f"\n{verdict}" if verdict else "")
            ax.set_title(told, fontsize=7, color=style.INK, loc="left", pad=4)
        for ax in axes[len(titles) :]:
            ax.set_axis_off()
        lines = style.stamp(figure, stamps([result for _, result in own]))
        places = {format_eps(place) for net in shifted for place in [_middle(net)]}
        told = (
            "Seeds of training are the replicates: points are nets, diamonds means with 95 % over seeds. Each net at "
            f"the ε that it was trained at; groups at random shifts of {', '.join(sorted(places))} of ||w||."
        )
        lines += style.annotate(figure, f"{told} {grounds(shifted or [result for _, result in own])}")
        figure.set_figheight(0.3 * DOUBLE * len(panels) + 0.1 * lines)
    return figure


def _is_own(result: Result) -> bool:
    return math.isclose(float(str(result.attrs["eps"])), float(str(result.attrs["train_eps"])), abs_tol=1e-12)


def _fits(result: Result, along: str, positions: str) -> bool:
    return result.attrs["along"] == along and result.attrs["positions"] == positions


def _middle(result: Result) -> float:
    places = result.arrays["position"]
    return float(places[places.size // 2])


def _room(comparison: Comparison) -> tuple[float, float]:
    """Return limits around all nets and intervals: cosines near 1 would be a line at the top of an axis from 0."""
    values = [net.value for group in comparison.groups for net in group.nets]
    ends = [end for group in comparison.groups for end in (group.mean.low, group.mean.high) if math.isfinite(end)]
    values += [min(max(end, -1.0), 1.0) for end in ends]
    margin = 0.15 * max(max(values) - min(values), 1e-3)
    return min(values) - margin, max(values) + margin


def _csv(found: Study) -> str:
    rows: list[list[Any]] = []
    for (along, positions, quantity), comparison in found.items():
        if isinstance(comparison, str):
            continue
        for group in comparison.groups:
            head = [along, positions, quantity]
            rows += [[*head, "net", group.name, net.seed, net.value, "", "", "", ""] for net in group.nets]
            mean = group.mean
            rows.append([*head, "mean", group.name, "", mean.value, mean.error, mean.low, mean.high, ""])
        for effect in comparison.effects:
            own = effect.interval
            rows.append([*head, effect.words, "", "", own.value, own.error, own.low, own.high, effect.verdict])
    header = ["along", "positions", "quantity", "row", "train_eps", "training_seed", "value", "standard_error", "low",
              "high", "verdict"]  # fmt: skip
    return csv_text(header, rows)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stamp_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", default="scattering.pdf", show_default=True, type=click.Path(path_type=Path))
def main(files: tuple[Path, ...], out: Path) -> None:
    """Draw how far perturbations and gradients of the nets in FILES (.h5) turn, by the eps that they were trained at.

    Writes a PDF and a PNG, whichever OUT names, the numbers as CSV, and how they were made as JSON. Files of these
    names are replaced.
    """
    run("scattering.py", KIND, lambda command: draw(files, out, command=command))


if __name__ == "__main__":
    main()
