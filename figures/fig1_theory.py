"""Draw fig. 1, the adversarial loss of one number at eps 0.6 and 1.2, from its closed form.

    python figures/fig1_theory.py results/*.theory-*.h5 -o fig1.pdf

With the result files of `landscape theory` the phase diagram of the linear model on those data stands below. Writes
fig1.pdf and fig1.png, the curves as fig1.csv, the thresholds as fig1-phases.csv, and how they were made as fig1.json.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

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

from landscape.plots import DOUBLE, SINGLE, figure_one_dimensional  # noqa: E402
from landscape.plots.theory import FIGURE_1  # noqa: E402
from landscape.results import read_result  # noqa: E402
from landscape.theory import one_dimensional  # noqa: E402

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
    used, skipped = of_kind(inputs, KIND, remedy="landscape theory --data digits --classes 3,8")
    results = [read_result(path) for path in used]
    tables = {".csv": _curves()}
    if results:
        rows = [
            [path, *(result.attrs[name] for name in THRESHOLDS)] for path, result in zip(used, results, strict=True)
        ]
        tables["-phases.csv"] = csv_text(["file", *THRESHOLDS], rows)
    records = [input_record(path, result, TOLD) for path, result in zip(used, results, strict=True)]
    figure = figure_one_dimensional(results, width=width)
    return write_outputs(stem, figure, tables, inputs=records, left_out=skipped, command=command), skipped


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stamp_option
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("-o", "--out", default="fig1.pdf", show_default=True, type=click.Path(path_type=Path))
@click.option("--single", is_flag=True, help="Fill one column of the page (3.25 in) instead of both (6.75 in).")
def main(files: tuple[Path, ...], out: Path, single: bool) -> None:
    """Draw fig. 1 from its closed form; with theory results as FILES (.h5), the phase diagram of the linear model too.

    Writes a PDF and a PNG, whichever OUT names, the numbers as CSV, and how they were made as JSON.
    Files of these names are replaced.
    """
    width = SINGLE if single else DOUBLE
    run("fig1_theory.py", KIND, lambda command: draw(files, out, width=width, command=command))


def _curves() -> str:
    theta = np.linspace(-3, 3, 601)
    columns, header = [theta, one_dimensional.loss(theta)], ["theta", "vanilla"]
    for eps in FIGURE_1:
        columns += [one_dimensional.loss(theta, eps=eps), one_dimensional.lower_envelope(theta, eps=eps)]
        header += [f"adversarial_{eps:g}", f"lower_{eps:g}"]
    return csv_text(header, np.stack(columns, axis=1).tolist())


if __name__ == "__main__":
    main()
