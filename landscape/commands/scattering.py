"""`landscape scattering CKPT...`: how perturbations and gradients turn as the weights move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import options
from ..errors import UsageError
from ..terminal import say_next


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers with commas between them, none below 0; `positive`: none of them 0."""

    name = "R,..."

    def __init__(self, what: str, such_as: str, *, positive: bool = False) -> None:
        self.what, self.such_as, self.positive = what, such_as, positive

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Return the numbers in growing order, each once."""
        if isinstance(value, tuple):
            return value
        try:
            found = sorted({float(part) for part in str(value).split(",")})
        except ValueError:
            found = []
        if not found or not all(0 <= number < 1e6 for number in found) or (self.positive and not found[0]):
            self.fail(f"{value!r} are no {self.what}; write {self.such_as}", param, ctx)
        return tuple(found)


@click.command(epilog="Example: landscape scattering digits/eps0.1 --n-examples 200 --direction random")
@click.argument("checkpoints", metavar="CKPT...", nargs=-1, required=True)
@options.measured
@click.option(
    "--direction",
    metavar="random|top1|FILE.h5",
    help="Where the weights move: filter-normalised, or an eigenvector.  [default: random]",
)
@click.option("--to", metavar="B.pt", help="Move towards this net instead: a later checkpoint of the run, say.")
@click.option(
    "--radii",
    type=Numbers("relative radii", "shares of the length of the weights, such as 0.01,0.1"),
    help="Distances over ||w||, six of 0.005 to 0.2; with --to, shares of the way, by quarters.",
)
@click.option(
    "--rise",
    "rises",
    type=Numbers("rises of the loss", "positive ones in nats, such as 0.1,0.5", positive=True),
    help="Instead of --radii: where the loss, attacked anew, has risen by so many nats.",
)
@click.option(
    "--per-example",
    "single",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Examples whose gradients are taken singly too.",
)
@options.written
def command(
    checkpoints: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Measure how far perturbations and gradients of each CKPT turn as its weights move: gradient scattering.

    Cosines of the adversary's perturbations, plain, of signs, and centred and scaled by the box that [0, 1] leaves
    them; beside them what two random vertices and two random starts give. The change of the gradient is split into the
    part with the adversary frozen and the part of its move, in both orders. A file for each CKPT.
    """
    from ..checkpoint import resolve_checkpoint
    from .scattering_run import Request, measure
    from .sharpness_run import check_one_study

    request = Request(**settings)
    if out is not None and len(checkpoints) > 1:
        raise UsageError(f"--out names one file, and {len(checkpoints)} checkpoints came; leave it out, or give one")
    if request.to is not None and len(checkpoints) > 1:
        raise UsageError(f"--to names where one net goes, and {len(checkpoints)} checkpoints came; give one")
    for source in (*checkpoints, *([] if request.to is None else [request.to])):
        resolve_checkpoint(source)  # a name mistyped at the end is not to be found after hours
    check_one_study(checkpoints, request)
    written = [
        measure(source, request, out=out, overwrite=overwrite, quiet=quiet, verbose=verbose)[0]
        for source in checkpoints
    ]
    if not quiet:
        if len(written) > 2:
            say_next("landscape", "compare", *written)
        say_next("landscape", "plot", *written)
