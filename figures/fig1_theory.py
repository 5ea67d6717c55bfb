"""Draw fig. 1, the adversarial loss of one number at eps 0.6 and 1.2, from its closed form.

    python figures/fig1_theory.py results/*.theory-*.h5 -o fig1.pdf

With the result files of `landscape theory` the phase diagram of the linear model on those data stands below. Writes
fig1.pdf and fig1.png, the curves as fig1.csv, the thresholds as fig1-phases.csv, and how they were made as fig1.json.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

# Run as a script, Python sees this folder and not the one beside it: a checkout that is not installed works too.
_root = Path(__file__).resolve().parent.parent
if __package__ in (None, "") and (_root / "landscape" / "__init__.py").is_file():
    sys.path.insert(0, str(_root))

from landscape.figures.outputs import input_record, output_stem, write_text  # noqa: E402

from landscape.errors import LandscapeError, ResultError  # noqa: E402
from landscape.plots import DOUBLE, SINGLE, figure_one_dimensional, save_figure  # noqa: E402
from landscape.plots.theory import FIGURE_1  # noqa: E402
from landscape.results import command_line, provenance, read_kind, read_result  # noqa: E402
from landscape.theory import one_dimensional  # noqa: E402

Drawn = tuple[list[Path], list[Path]]

KIND = "theory"
TOLD = ("data", "class_pair", "n_examples", "box", "command")
THRESHOLDS = (
    "data", "split", "class_pair", "n_examples", "seed", "box", "gamma_star", "gamma_star_bound", "gamma_star_box",
    "gamma_star_box_bound", "eps_bar", "eps_bar_bias", "eps_bar_box",
)  # fmt: skip


def draw(inputs: Sequence[Path], out: Path, *, width: float = DOUBLE, command: str = "") -> Drawn:
    """Draw fig. 1, and the theory results among `inputs`; return the files written and the inputs left out.

    Those are results of other kinds. Raises ResultError where a file is damaged, or none of those given is left.
    """
    stem = output_stem(out, "fig1")
    skipped = [path for path in inputs if read_kind(path) != KIND]
    used = [path for path in inputs if path not in skipped]
    if inputs and not used:
        raise ResultError(
            f"none of the {len(inputs)} files is a {KIND} result; "
            "make one with: landscape theory --data digits --classes 3,8"
        )
    results = [read_result(path) for path in used]
    figure = figure_one_dimensional(results, width=width)
    written = [save_figure(figure, stem.with_name(stem.name + suffix)) for suffix in (".pdf", ".png")]
    written.append(write_text(stem.with_name(stem.name + ".csv"), _curves()))
    if results:
        rows = [
            [path, *(result.attrs[name] for name in THRESHOLDS)] for path, result in zip(used, results, strict=True)
        ]
        written.append(write_text(stem.with_name(stem.name + "-phases.csv"), _csv(["file", *THRESHOLDS], rows)))
    made = {
        **provenance(command=command),
        "outputs": [path.name for path in written],
        "inputs": [input_record(path, result, TOLD) for path, result in zip(used, results, strict=True)],
        "left_out": [str(path) for path in skipped],
    }
    text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    return [*written, write_text(stem.with_name(stem.name + ".json"), text)], skipped


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("-o", "--out", default="fig1.pdf", show_default=True, type=click.Path(path_type=Path))
@click.option("--single", is_flag=True, help="Fill one column of the page (3.25 in) instead of both (6.75 in).")
def main(files: tuple[Path, ...], out: Path, single: bool) -> None:
    """Draw fig. 1 from its closed form; with theory results as FILES (.h5), the phase diagram of the linear model too.

    Writes a PDF and a PNG, whichever OUT names, the numbers as CSV, and how they were made as JSON.
    Files of these names are replaced.
    """
    try:
        command = command_line(["fig1_theory.py", *sys.argv[1:]])
        written, left_out = draw(files, out, width=SINGLE if single else DOUBLE, command=command)
    except LandscapeError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    for path in left_out:
        click.echo(f"left out {path}: no {KIND} result", err=True)
    click.echo("wrote " + ", ".join(str(path) for path in written))


def _curves() -> str:
    theta = np.linspace(-3, 3, 601)
    columns, header = [theta, one_dimensional.loss(theta)], ["theta", "vanilla"]
    for eps in FIGURE_1:
        columns += [one_dimensional.loss(theta, eps=eps), one_dimensional.lower_envelope(theta, eps=eps)]
        header += [f"adversarial_{eps:g}", f"lower_{eps:g}"]
    return _csv(header, np.stack(columns, axis=1).tolist())


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    main()
