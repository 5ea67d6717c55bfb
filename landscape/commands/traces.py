"""`landscape traces CKPT...`: loss, error, full gradient and distance along the checkpoints of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import options
from ..terminal import say_next


@click.command(epilog="Example: landscape traces robust-epoch*.pt robust.pt --eps 0,0.05,0.1")
@click.argument("checkpoints", metavar="CKPT...", nargs=-1, required=True)
@options.measured
@options.written
def command(
    checkpoints: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Measure loss, error, full gradient norm and distance along CKPT..., the checkpoints of one run.

    --eps takes several radii: each is measured at the same weights, on the same examples, attacked anew at each
    checkpoint. Checkpoints that say their epoch are put in order; the first is where distances are taken from.
    """
    from ..checkpoint import resolve_checkpoint
    from .trajectory import Request, follow

    for source in checkpoints:
        resolve_checkpoint(source)  # a name mistyped at the end is not to be found after hours
    path = follow(
        Request(checkpoints=checkpoints, **settings), out=out, overwrite=overwrite, quiet=quiet, verbose=verbose
    )
    if not quiet:
        say_next("landscape", "plot", path)
