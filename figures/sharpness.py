"""Draw the sharpness study, "do the minima become sharper with eps?", from the result files of `landscape sharpness`.

    python figures/sharpness.py results/*.sharpness-*.h5 -o sharpness.pdf

writes sharpness.pdf and sharpness.png, the numbers in them as sharpness.csv, and how they were made as sharpness.json.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

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

from landscape.errors import ResultError  # noqa: E402
from landscape.plots import DOUBLE, PaperFigure, draw_groups, draw_matrix, draw_rises, draw_ways, style  # noqa: E402
from landscape.plots.sharpness import note, stamps  # noqa: E402
from landscape.results.comparison import Comparison  # noqa: E402
from landscape.results.sharpness_study import OWN, Run, common_radii, compared, matrix, read_runs, shift_of  # noqa: E402

KIND = "sharpness"
TOLD = ("train_eps", "checkpoint", "checkpoint_sha256", "command")


def draw(inputs: Sequence[Path], out: Path, *, command: str = "") -> Drawn:
    """Draw the study of the sharpness results among `inputs`; return the files written and the inputs left out.

    Raises ResultError where a file is damaged, or the nets do not compare.
    """
    stem = output_stem(out, "sharpness")
    used, skipped = of_kind(inputs, KIND, remedy="landscape sharpness CKPT...")
    runs = read_runs(used)
    effects = {name: compared(runs, name, at=shift_of(runs, name)) for name in OWN}
    whole = effects["lambda_1"]
    if isinstance(whole, str):
        raise ResultError(whole)
    if not any(group.nets for group in whole.groups):
        raise ResultError(
            f"all {len(runs)} nets are constant classifiers, which have no sharpness to compare; train them for longer"
        )
    columns = [(eps, compared(runs, "lambda_1", eps=eps)) for eps in common_radii(runs)]
    known = [(eps, column) for eps, column in columns if isinstance(column, Comparison)]
    figure = compose(runs, effects, known)
    records = [
        input_record(path, result, TOLD) for one in runs for path, result in zip(one.paths, one.results, strict=True)
    ]
    tables = {".csv": _csv(runs, effects, known, shift={name: shift_of(runs, name) for name in OWN})}
    return write_outputs(stem, figure, tables, inputs=records, left_out=skipped, command=command), skipped


def compose(
    runs: Sequence[Run], effects: dict[str, Comparison | str], columns: Sequence[tuple[float, Comparison]]
) -> PaperFigure:
    """Return the figure: lambda_1 trained against measured, each net at its own eps, over the loss, and relatively."""
    nets = [run.results[-1] for run in runs]
    labels = {"lambda_1": "λ₁ (nats)", "lambda_1/loss": "λ₁ / loss"}
    with style.paper_style():
        figure = style.new_figure(DOUBLE)
        panels: Any = figure.subplots(2, 3)
        if columns:
            draw_matrix(panels[0, 0], columns)
        for ax, (name, label) in zip(panels[0, 1:], labels.items(), strict=True):
            found = effects[name]
            if isinstance(found, Comparison):
                draw_groups(ax, found, label=label)
        draw_ways(panels[1, 0], runs)
        for ax, name in zip(panels[1, 1:], ("worst", "random"), strict=True):
            if any(f"{name}_rise" in net.arrays for net in nets):
                draw_rises(ax, nets, name)
                if ax is panels[1, 2] and panels[1, 1].get_legend() is not None:
                    ax.get_legend().remove()  # the colours of all panels are told once
            else:
                ax.set_visible(False)  # with its title: nothing was measured
        titles = ("λ₁, trained / measured at", "at its own ε", "over the loss", "along the runs")
        for letter, title, ax in zip("abcdef", [*titles, "worst way", "random ways"], panels.flat, strict=True):
            ax.set_title(f"{letter}  {title}", fontsize=7, color=style.INK, loc="left", pad=9 if letter in "bc" else 4)
        lines = style.stamp(figure, stamps(nets))
        told = "Seeds of training are the replicates: points are nets, diamonds means with 95 % over seeds."
        lines += style.annotate(figure, f"{told} {note(nets)}")
        figure.set_figheight(0.66 * DOUBLE + 0.1 * lines)
    return figure


def _csv(
    runs: Sequence[Run],
    effects: dict[str, Comparison | str],
    columns: Sequence[tuple[float, Comparison]],
    *,
    shift: dict[str, float | None],
) -> str:
    rows: list[list[Any]] = []
    named: list[tuple[str, Any, Any, Comparison | str]] = [
        (name, "own", shift[name], found) for name, found in effects.items()
    ]
    named += [("lambda_1", eps, None, column) for eps, column in columns]
    for name, eps, at, found in named:
        if isinstance(found, str):
            continue
        for group in found.groups:
            for net in group.nets:
                rows.append([name, eps, at, "net", group.name, net.seed, net.value, net.error, "", "", ""])
            mean = group.mean
            rows.append([name, eps, at, "mean", group.name, "", mean.value, mean.error, mean.low, mean.high, ""])
        for effect in found.effects:
            own = effect.interval
            rows.append([name, eps, at, effect.words, "", "", own.value, own.error, own.low, own.high, effect.verdict])
    for name in ("loss", "trace", "gauss_newton_share"):
        trained, radii, values = matrix(runs, name)
        for place in np.ndindex(*values.shape):
            rows.append([name, radii[place[1]], None, "mean", trained[place[0]], "", values[place], "", "", "", ""])
    header = ["quantity", "eps", "relative_radius", "row", "train_eps", "training_seed", "value", "standard_error",
              "low", "high", "verdict"]  # fmt: skip
    return csv_text(header, rows)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stamp_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", default="sharpness.pdf", show_default=True, type=click.Path(path_type=Path))
def main(files: tuple[Path, ...], out: Path) -> None:
    """Draw the sharpness of the nets in FILES (.h5), grouped by the eps that they were trained at.

    Earlier checkpoints of a run are its way; its last one counts. Writes a PDF and a PNG, whichever OUT names, the
    numbers as CSV, and how they were made as JSON. Files of these names are replaced.
    """
    run("sharpness.py", KIND, lambda command: draw(files, out, command=command))


if __name__ == "__main__":
    main()
