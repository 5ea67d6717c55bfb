"""`landscape sharpness CKPT...`: how sharp each net is, and what their training radius has to do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import options
from ..errors import UsageError
from ..terminal import say_next

NOT_CONVERGED = 3
_MEASURES = ("lambda_1", "trace", "random_rise", "worst_rise")  # those of analyses.sharpness, which loads torch


class Names(click.ParamType[tuple[str, ...]]):
    """Some of a list of names, with commas between them."""

    name = "NAME,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names in the order of the list; the first is always among them."""
        if isinstance(value, tuple):
            return value
        given = [part.strip() for part in str(value).split(",") if part.strip()]
        if unknown := [name for name in given if name not in _MEASURES]:
            self.fail(f"{unknown[0]!r} is no measure; there are {', '.join(_MEASURES)}", param, ctx)
        return tuple(name for name in _MEASURES if name in given or name == _MEASURES[0])


class Shares(click.ParamType[tuple[float, ...]]):
    """Positive numbers in growing order, with commas between them."""

    name = "R,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            found = sorted({float(part) for part in str(value).split(",") if part.strip()})
        except ValueError:
            found = []
        if not found or not all(0 < radius < 100 for radius in found):
            self.fail(f"{value!r} are no relative radii; write positive shares, such as 0.002,0.005,0.01", param, ctx)
        return tuple(found)


@click.command(epilog="Example: landscape sharpness digits/eps0 digits/eps0.1 --eps 0,0.1 --n-examples 300")
@click.argument("checkpoints", metavar="CKPT...", nargs=-1, required=True)
@options.measured
@click.option(
    "--measures",
    type=Names(),
    default=",".join(_MEASURES),
    show_default=True,
    help="What to measure; lambda_1 always is.",
)
@click.option(
    "--random-radii",
    type=Shares(),
    default="0.1,0.2,0.5",
    show_default=True,
    help="Random shifts, as shares of each filter.",
)
@click.option(
    "--worst-radii",
    type=Shares(),
    default="0.002,0.005,0.01",
    show_default=True,
    help="Worst shifts, as shares of each layer.",
)
@click.option("--directions", type=click.IntRange(2), default=3, show_default=True, help="Random directions.")
@click.option("--starts", type=click.IntRange(1), default=2, show_default=True, help="Ascents to each worst shift.")
@click.option("--probes", type=click.IntRange(2), default=8, show_default=True, help="Random starts of the trace.")
@click.option("--tol", type=float, default=1e-3, show_default=True, help="Residual over |lambda_1|.")
@options.written
@click.pass_context
def command(
    ctx: click.Context,
    /,
    checkpoints: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Measure how sharp each CKPT is at the radii of --eps, and compare the CKPTs by their training radius.

    lambda_1 and the trace of the Hessian, and two readings that rescaling a net cannot change: how far the loss rises
    at random and at the worst shifts of the weights by a share of their own length. Nets of several seeds give effects
    with intervals and verdicts; of one run's checkpoints the last counts. A file for each CKPT, each kept as it is
    finished. Exit code 3: written, but some lambda_1 has not converged to --tol.
    """
    from ..checkpoint import resolve_checkpoint
    from .sharpness_run import Request, check_one_study, measure
    from .sharpness_table import show_study

    if out is not None and len(checkpoints) > 1:
        raise UsageError(f"--out names one file, and {len(checkpoints)} checkpoints came; leave it out, or give one")
    for source in checkpoints:
        resolve_checkpoint(source)  # a name mistyped at the end is not to be found after hours
    request = Request(**settings)
    check_one_study(checkpoints, request)
    written = []
    code = 0
    for source in checkpoints:
        path, result = measure(source, request, out=out, overwrite=overwrite, quiet=quiet, verbose=verbose)
        written.append(path)
        code = max(code, 0 if result.attrs["status"] == "complete" else NOT_CONVERGED)
    if not quiet:
        if len(written) > 1:
            show_study(written, seed=request.seed)
        say_next("landscape", "plot", *written)
    ctx.exit(code)
