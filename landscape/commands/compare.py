"""`landscape compare FILE.h5...`: groups of trained nets, their difference over training seeds, and what it allows."""

from __future__ import annotations

from pathlib import Path

import click

from .. import options
from ..terminal import say, say_next, warn
from ..units import parse_eps


@click.command(epilog="Example: landscape compare results/*.hessian-*.h5 --by train_eps")
@click.argument("files", metavar="FILE.h5...", nargs=-1, required=True, type=options.PATH)
@click.option(
    "--by",
    default="train_eps",
    show_default=True,
    metavar="NAME",
    help="What tells the groups apart: an attribute of the files, or a setting of training (eps_schedule).",
)
@click.option(
    "--quantity",
    metavar="NAME",
    help="hessian: lambda_1, trace, loss, lambda_1/loss, added, added/lambda_1, kinks; surface: rise, loss, rise/loss; "
    "connect: barrier, line_barrier, each with /loss; evaluate: worst_case, an attack; sharpness: lambda_1, trace, "
    "worst_rise, random_rise, each over the loss too (worst_rise/loss); scattering: box_cosine, gradient_cosine, "
    "adversary_share and more.  [default: the first]",
)
@click.option("--eps", metavar="EPS", help="The radius of a ladder.  [default: each net's own]")
@click.option(
    "--at", type=float, metavar="R", help="The radius around the net, or the step h.  [default: over the range]"
)
@options.seed
@click.option("--out", type=options.PATH, help="Write the tables as CSV too.")
@options.overwrite
def command(
    files: tuple[Path, ...],
    by: str,
    quantity: str | None,
    eps: str | None,
    at: float | None,
    seed: int,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Compare trained nets by their result files, a file for each: is there an effect, and how large?

    The training seed is the replicate: three seeds or more for each group give an interval and a verdict, over seeds
    and examples. The files must be of one kind and of the same settings; nets that are constant classifiers are left
    out and counted.
    """
    from ..results.comparison import LEAST, compare
    from ..results.replicates import read_replicates
    from .compare_table import show, write_csv

    radius = None if eps is None else parse_eps(eps, norm=_norm(files[0]))
    comparison = compare(read_replicates(files, by=by, quantity=quantity, eps=radius, at=at), by=by, seed=seed)
    show(comparison)
    for caution in comparison.cautions:
        warn(f"caution: {caution}")
    if out is not None:
        say(f"wrote {write_csv(comparison, out, overwrite=overwrite)}")
    if any(effect.seeds < LEAST for effect in comparison.effects):
        say(f"try: {LEAST} training seeds or more for each group (landscape train --seed N), better 5 to 10")
    say_next("landscape", "plot", *files)


def _norm(path: Path) -> str:
    from ..results import read_result

    return str(read_result(path, only=[]).attrs.get("norm") or "linf")
