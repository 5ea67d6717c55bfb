"""Draw fig. 3a, the top of the Hessian's spectrum for each eps, from the result files of `landscape hessian`.

Results made with --density have a second panel, the density of the whole spectrum.

    python figures/fig3_hessian.py results/*.h5 -o fig3.pdf

writes fig3.pdf and fig3.png, the numbers in them as fig3.csv, and how they were made as fig3.json.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

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
    training_seed,
    write_outputs,
)

from landscape.plots import DOUBLE, SINGLE, figure_spectrum  # noqa: E402
from landscape.results import KINDS, Result, read_result, table  # noqa: E402

KIND = "hessian"
TOLD = ("eps", "checkpoint", "checkpoint_sha256", "command")
# No eigenvectors, and nothing of single examples: the figure shows neither.
ARRAYS = tuple(name for name, array in KINDS[KIND].arrays.items() if not {"P", "examples/index"} & {*array.dims})


def draw(inputs: Sequence[Path], out: Path, *, width: float = SINGLE, command: str = "") -> Drawn:
    """Draw the Hessian results among `inputs`; return the files written (PDF, PNG, CSV, JSON) and the inputs left out.

    Those are results of other kinds; the JSON names them too. Raises ResultError where a file is damaged or none is
    left.
    """
    stem = output_stem(out, "fig3")
    used, skipped = of_kind(inputs, KIND, remedy="landscape hessian CKPT")
    results = [read_result(path, only=ARRAYS) for path in used]
    records = [input_record(path, result, TOLD) for path, result in zip(used, results, strict=True)]
    tables = {".csv": _csv(used, results)}
    figure = figure_spectrum(results, width=width)
    return write_outputs(stem, figure, tables, inputs=records, left_out=skipped, command=command), skipped


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stamp_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", default="fig3.pdf", show_default=True, type=click.Path(path_type=Path))
@click.option("--double", is_flag=True, help="Fill both columns of the page (6.75 in) instead of one (3.25 in).")
def main(files: tuple[Path, ...], out: Path, double: bool) -> None:
    """Draw the top eigenvalues in FILES (.h5), one curve per eps, with both of their errors.

    Writes a PDF and a PNG, whichever OUT names, the numbers as CSV, and how they were made as JSON.
    Files of these names are replaced.
    """
    width = DOUBLE if double else SINGLE
    run("fig3_hessian.py", KIND, lambda command: draw(files, out, width=width, command=command))


def _csv(paths: Sequence[Path], results: Sequence[Result]) -> str:
    header: list[str] = []
    rows = []
    for path, result in zip(paths, results, strict=True):
        header, own = table(result)
        rows += [[path, result.attrs["train_eps"], result.attrs["eps"], training_seed(result), *row] for row in own]
    return csv_text(["file", "train_eps", "eps", "training_seed", *header], rows)


if __name__ == "__main__":
    main()
