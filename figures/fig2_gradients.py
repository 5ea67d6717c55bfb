"""Draw fig. 2, the gradients of adversarial training at its start and its end, from the traces of `landscape train`.

    python figures/fig2_gradients.py runs/*.traces.h5 -o fig2.pdf

writes fig2.pdf and fig2.png, each run's endpoints as fig2.csv, the paired differences of the arms with their intervals
and verdicts as fig2-effects.csv, and how they were made as fig2.json.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
    output_stem,
    run,
    stamp_option,
    training_seed,
    write_outputs,
)

from landscape.errors import ResultError  # noqa: E402
from landscape.plots import DOUBLE, SINGLE  # noqa: E402
from landscape.plots.escape import escape  # noqa: E402
from landscape.plots.gradients import figure_gradients, spans  # noqa: E402
from landscape.plots.labels import Curve  # noqa: E402
from landscape.plots.traces import TEST_ERROR, arms  # noqa: E402
from landscape.results import Result, read_kind, read_result  # noqa: E402
from landscape.results.comparison import contrast, verdict  # noqa: E402
from landscape.results.replicates import Replicate  # noqa: E402
from landscape.streams import stream  # noqa: E402

KIND = "traces"
TOLD = ("train_eps", "checkpoint", "checkpoint_sha256", "command")


@dataclass(frozen=True)
class Endpoints:
    """What one run is judged by; a number that it does not have is NaN."""

    escape_step: float  # the steps of the run, where it never escaped
    escaped: bool
    early_gradient_norm: float
    distance: float
    clean_test_error: float
    robust_test_error: float
    late_gradient_norm: float  # of runs that escaped
    late_gradient_sq: float  # the unbiased estimate, of runs that escaped


def endpoints(result: Result) -> Endpoints:
    """Return what a run is judged by: the early part is its first third, the late one what fig. 2d shows."""
    arrays, (_, late) = result.arrays, spans([result])
    out = escape(result)
    steps = arrays["step"]
    early, end = steps < (int(steps[-1]) + 1) / 3, steps >= late[0]
    squares = arrays["gradient_norm_sq_unbiased"][end]
    squares = squares[np.isfinite(squares)]

    def last(name: str) -> float:
        return float(arrays[name][-1]) if name in arrays else float("nan")

    return Endpoints(
        escape_step=float(out.step),
        escaped=out.seen,
        early_gradient_norm=float(arrays["gradient_norm"][early].mean()),
        distance=last("distance_from_init"),
        clean_test_error=last("test/clean_error_rate"),
        robust_test_error=last(TEST_ERROR),
        late_gradient_norm=float(arrays["gradient_norm"][end].mean()) if out.seen else float("nan"),
        late_gradient_sq=float(squares.mean()) if out.seen and len(squares) else float("nan"),
    )


def effects(curves: Sequence[Curve]) -> Iterator[list[Any]]:
    """Yield, for each arm against the one of the smallest eps, each endpoint's paired difference over shared seeds.

    Interval, p-value and verdict ("higher", "lower", "too small to tell") are those of `landscape compare`: Student's,
    over three seeds or more.
    """
    by_arm = [(curve, {training_seed(one): endpoints(one) for one in curve.results}) for curve in curves]
    pairs = [(by_arm[0], other) for other in by_arm[1:]]
    pairs += [(one, two) for one, two in pairwise(by_arm) if one[0].eps == two[0].eps != by_arm[0][0].eps]  # schedules
    for (base, bases), (arm, found) in pairs:
        for name in Endpoints.__dataclass_fields__:
            shared = [seed for seed in found if seed in bases]
            each = [float(getattr(found[seed], name)) - float(getattr(bases[seed], name)) for seed in shared]
            differences = [one for one in each if math.isfinite(one)]
            yield [_name(arm), _name(base), name, len(differences), *_judged(differences)]


def _judged(differences: Sequence[float]) -> list[Any]:
    """Return mean, interval, p and verdict of paired differences (S,)."""
    if len(differences) == 0:
        return [math.nan] * 4 + ["not measured"]
    found = contrast([[Replicate.of_number(one) for one in differences]], [1.0], paired=False, rng=stream(0, "seeds"))
    return [found.value, found.low, found.high, found.p, verdict(found, len(differences))]


def draw(inputs: Sequence[Path], out: Path, *, width: float = DOUBLE, command: str = "") -> Drawn:
    """Draw the training traces among `inputs`; return the files written (PDF, PNG, CSV, JSON) and the inputs left out.

    Those are results of other kinds, and traces of checkpoints. Raises ResultError where a file is damaged or none is
    left.
    """
    stem = output_stem(out, "fig2")
    found = {path: read_result(path) for path in inputs if read_kind(path) == KIND}
    used = {path: result for path, result in found.items() if result.attrs["measured"] == "mini-batches"}
    skipped = [path for path in inputs if path not in used]
    if not used:
        raise ResultError(
            f"none of the {len(inputs)} files holds traces of training; landscape train writes NAME.traces.h5"
        )
    figure = figure_gradients(list(used.values()), width=width)
    curves = arms(list(used.values()))
    header = ["arm", "seed", "checkpoint", *Endpoints.__dataclass_fields__]
    rows = [
        [_name(curve), training_seed(one), one.attrs["checkpoint"], *vars(endpoints(one)).values()]
        for curve in curves
        for one in curve.results
    ]
    judged = ["arm", "against", "endpoint", "seeds", "difference", "low", "high", "p", "verdict"]
    tables = {".csv": csv_text(header, rows), "-effects.csv": csv_text(judged, effects(curves))}
    records = [input_record(path, result, TOLD) for path, result in used.items()]
    return write_outputs(stem, figure, tables, inputs=records, left_out=skipped, command=command), skipped


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@stamp_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", default="fig2.pdf", show_default=True, type=click.Path(path_type=Path))
@click.option("--single", is_flag=True, help="Fill one column of the page (3.25 in) instead of both (6.75 in).")
def main(files: tuple[Path, ...], out: Path, single: bool) -> None:
    """Draw the gradients of training from FILES (NAME.traces.h5), one colour per eps, median and band over seeds.

    Writes a PDF and a PNG, whichever OUT names, the numbers as CSV, and how they were made as JSON.
    Files of these names are replaced.
    """
    run(
        "fig2_gradients.py",
        KIND,
        lambda command: draw(files, out, width=SINGLE if single else DOUBLE, command=command),
    )


def _name(curve: Curve) -> str:
    return curve.label.partition(" (")[0]


if __name__ == "__main__":
    main()
