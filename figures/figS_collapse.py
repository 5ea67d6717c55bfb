"""Draw where training ends in a constant classifier, over width and eps, from the traces of `landscape train`.

    python figures/figS_collapse.py grid/*.traces.h5 -o collapse.pdf

writes collapse.pdf and collapse.png, every cell with Wilson's interval as collapse.csv, the frontier and the trends
over width and eps as collapse-effects.csv, and how they were made as collapse.json.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
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

from landscape.plots import DOUBLE, SINGLE  # noqa: E402
from landscape.plots.collapse import figure_collapse  # noqa: E402
from landscape.plots.labels import footnote  # noqa: E402
from landscape.results import read_result  # noqa: E402
from landscape.results.collapse import Collapse, read_collapse  # noqa: E402

KIND = "traces"
TOLD = ("train_eps", "model", "checkpoint", "checkpoint_sha256", "command")
ARRAYS = ("step",)


def draw(inputs: Sequence[Path], out: Path, *, width: float = SINGLE, command: str = "") -> Drawn:
    """Draw the grid of the training traces among `inputs`; return the files written and the inputs left out.

    Raises ResultError where a file is damaged, no traces are left, or the runs are no grid (see `read_collapse`).
    """
    stem = output_stem(out, "collapse")
    used, skipped = of_kind(inputs, KIND, remedy="landscape train")
    results = [read_result(path, only=ARRAYS) for path in used]
    grid = read_collapse(results)
    steps = sorted({int(result.arrays["step"][-1]) + 1 for result in results})
    counts = " to ".join(str(count) for count in dict.fromkeys([int(grid.runs.min()), int(grid.runs.max())]))
    lengths = " to ".join(map(str, dict.fromkeys([steps[0], steps[-1]])))
    note = (
        f"Constant classifiers among {counts} runs a cell, after {lengths} steps. Right of the red line: half of "
        f"them or more. {footnote(results)}."
    )
    absent = int((grid.runs < len(grid.seeds)).sum())
    stamps = [f"! {absent} of {grid.runs.size} cells lack runs"] if absent else []
    figure = figure_collapse(grid, note=note, stamps=stamps, width=width)
    tables = {".csv": csv_text(_CELLS, _cells(grid)), "-effects.csv": csv_text(_EFFECTS, _effects(grid))}
    records = [input_record(path, result, TOLD) for path, result in zip(used, results, strict=True)]
    return write_outputs(stem, figure, tables, inputs=records, left_out=skipped, command=command), skipped


_CELLS = ("width", "eps", "runs", "collapsed", "share", "low", "high", "seeds_collapsed")
_EFFECTS = ("endpoint", "seeds", "value", "low", "high", "p", "verdict")


def _cells(grid: Collapse) -> Iterator[list[Any]]:
    for row, width in enumerate(grid.widths):
        for column, eps in enumerate(grid.eps):
            dead = [seed for seed, one in zip(grid.seeds, grid.collapsed[row, column], strict=True) if one == 1]
            numbers = [grid.shares[row, column], *grid.interval(row, column)]
            yield [width, eps, grid.runs[row, column], grid.failed[row, column], *numbers, " ".join(map(str, dead))]


def _effects(grid: Collapse) -> Iterator[list[Any]]:
    for width, eps in zip(grid.widths, grid.frontier(), strict=True):
        yield [f"frontier, width {width}", len(grid.seeds), eps, "", "", "", ""]
    for effect in grid.effects():
        own = effect.interval
        yield [f"trend over {effect.words}", effect.seeds, own.value, own.low, own.high, own.p, effect.verdict]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stamp_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", default="collapse.pdf", show_default=True, type=click.Path(path_type=Path))
@click.option("--double", is_flag=True, help="Fill both columns of the page (6.75 in) instead of one (3.25 in).")
def main(files: tuple[Path, ...], out: Path, double: bool) -> None:
    """Draw the share of constant classifiers among the runs in FILES (NAME.traces.h5), over width and eps.

    Writes a PDF and a PNG, whichever OUT names, the numbers as CSV, and how they were made as JSON.
    Files of these names are replaced.
    """
    width = DOUBLE if double else SINGLE
    run("figS_collapse.py", KIND, lambda command: draw(files, out, width=width, command=command))


if __name__ == "__main__":
    main()
