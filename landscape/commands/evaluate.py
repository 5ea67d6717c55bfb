"""`landscape evaluate CKPT...`: clean and robust error of nets, or of an ensemble of them, in one result file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import options
from ..terminal import say_next
from .together import in_all_processes

ATTACKS = "clean,pgd100,apgd-ce,apgd-dlr,square"

split = click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True)
n_examples = click.option(
    "--n-examples", type=options.Count(), default="all", show_default=True, help="Examples, chosen by the seed."
)


@click.command(epilog="Example: landscape evaluate digits/eps0.1 --eps 0.1 --attacks clean,pgd100,apgd-ce")
@click.argument("checkpoints", metavar="CKPT...", nargs=-1, required=True)
@options.together(
    options.model, options.key, options.data, options.data_dir, split, n_examples, options.eps, options.norm
)
@click.option(
    "--attacks",
    metavar="NAME,...",
    help="Of clean, pgd100 (pgdN), apgd-ce, apgd-dlr, apgd-t, fab-t, square; with settings: apgd-ce:restarts=5.  "
    f"[default: {ATTACKS}]",
)
@click.option(
    "--preset",
    type=click.Choice(["default", "paper", "standard"]),
    default="default",
    show_default=True,
    help="paper: table 1 of Liu et al. 2020. standard: AutoAttack's.",
)
@click.option("--cascade", is_flag=True, help="An attack meets only what those before it left standing.")
@click.option("--ensemble", is_flag=True, help="Judge all CKPTs as one classifier.")
@click.option(
    "--join",
    type=click.Choice(["softmax", "logits"]),
    default="softmax",
    show_default=True,
    help="What the ensemble is the mean of.",
)
@click.option("--curve", is_flag=True, help="Error against eps too, on at most 1,000 examples.")
@click.option(
    "--adequacy/--no-adequacy",
    default=True,
    show_default=True,
    help="More effort, and signs of masked gradients, on a sample.",
)
@options.together(options.loss, options.seed, options.device, options.batch_size, options.written)
@in_all_processes
def command(
    checkpoints: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Count what each CKPT gets wrong: unattacked, under each attack, and under the worst of them.

    CKPT is a file, or the name of a net that ships, such as digits/eps0.1. An example that is wrong unattacked is wrong
    under every attack. Two nets are compared on the same examples, several seeds of one recipe by their deviation.
    Where labels are numbers (--loss), nothing is wrong: the loss is told, unattacked and under PGD that climbs it.
    """
    from ..checkpoint import resolve_checkpoint
    from .examination import Request, examine

    for source in checkpoints:
        resolve_checkpoint(source)  # a name mistyped at the end is not to be found after hours
    request = Request(checkpoints=checkpoints, **settings)
    path = examine(request, out=out, overwrite=overwrite, quiet=quiet, verbose=verbose)
    if not quiet:
        say_next("landscape", "plot", path)
