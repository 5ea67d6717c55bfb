"""Draw fig. 3a, the top of the Hessian's spectrum for each eps, from the result files of `landscape hessian`.

Results made with --density have a second panel, the density of the whole spectrum.

    python figures/fig3_hessian.py results/*.h5 -o fig3.pdf

writes fig3.pdf and fig3.png, the numbers in them as fig3.csv, and how they were made as fig3.json.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

# Run as a script, Python sees this folder and not the one beside it: a checkout that is not installed works too.
_root = Path(__file__).resolve().parent.parent
if __package__ in (None, "") and (_root / "landscape" / "__init__.py").is_file():
    sys.path.insert(0, str(_root))

from landscape.figures.outputs import input_record, output_stem, write_text  # noqa: E402

from landscape.errors import LandscapeError, ResultError  # noqa: E402
from landscape.plots import DOUBLE, SINGLE, plot, save_figure  # noqa: E402
from landscape.results import KINDS, Result, command_line, provenance, read_kind, read_result, table  # noqa: E402

Drawn = tuple[list[Path], list[Path]]

KIND = "hessian"
TOLD = ("eps", "checkpoint", "checkpoint_sha256", "command")
ARRAYS = tuple(name for name, array in KINDS[KIND].arrays.items() if "P" not in array.dims)  # no eigenvectors


def draw(inputs: Sequence[Path], out: Path, *, width: float = SINGLE, command: str = "") -> Drawn:
    """Draw the Hessian results among `inputs`; return the files written (PDF, PNG, CSV, JSON) and the inputs left out.

    Those are results of other kinds; the JSON names them too. Raises ResultError where a file is damaged or none is
    left.
    """
    stem = output_stem(out, "fig3")
    skipped = [path for path in inputs if read_kind(path) != KIND]
    used = [path for path in inputs if path not in skipped]
    if not used:
        raise ResultError(f"none of the {len(inputs)} files is a {KIND} result; make one with: landscape hessian CKPT")
    results = [read_result(path, only=ARRAYS) for path in used]
    figure = plot(results, width=width)
    pictures = [save_figure(figure, stem.with_name(stem.name + suffix)) for suffix in (".pdf", ".png")]
    numbers = write_text(stem.with_name(stem.name + ".csv"), _csv(used, results))
    made = {
        **provenance(command=command),
        "outputs": [path.name for path in [*pictures, numbers]],
        "inputs": [input_record(path, result, TOLD) for path, result in zip(used, results, strict=True)],
        "left_out": [str(path) for path in skipped],
    }
    sidecar = write_text(stem.with_name(stem.name + ".json"), json.dumps(made, indent=2, ensure_ascii=False) + "\n")
    return [*pictures, numbers, sidecar], skipped


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", default="fig3.pdf", show_default=True, type=click.Path(path_type=Path))
@click.option("--double", is_flag=True, help="Fill both columns of the page (6.75 in) instead of one (3.25 in).")
def main(files: tuple[Path, ...], out: Path, double: bool) -> None:
    """Draw the top eigenvalues in FILES (.h5), one curve per eps, with both of their errors.

    Writes a PDF and a PNG, whichever OUT names, the numbers as CSV, and how they were made as JSON.
    Files of these names are replaced.
    """
    try:
        command = command_line(["fig3_hessian.py", *sys.argv[1:]])
        written, left_out = draw(files, out, width=DOUBLE if double else SINGLE, command=command)
    except LandscapeError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    for path in left_out:
        click.echo(f"left out {path}: no {KIND} result", err=True)
    click.echo("wrote " + ", ".join(str(path) for path in written))


def _csv(paths: Sequence[Path], results: Sequence[Result]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for number, (path, result) in enumerate(zip(paths, results, strict=True)):
        header, rows = table(result)
        if number == 0:
            writer.writerow(["file", "train_eps", "eps", "training_seed", *header])
        for row in rows:
            writer.writerow([path, result.attrs["train_eps"], result.attrs["eps"], _training_seed(result), *row])
    return text.getvalue()


def _training_seed(result: Result) -> Any:
    training = result.attrs["training"]
    return training.get("seed") if isinstance(training, dict) else None


if __name__ == "__main__":
    main()
