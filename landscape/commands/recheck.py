"""`landscape recheck FILE.h5...`: can these results be trusted? Recomputed from their checkpoints, and compared."""

from __future__ import annotations

from pathlib import Path

import click

from .. import options
from ..errors import LandscapeError
from ..terminal import progress, say_next, warn


@click.command(epilog="Example: landscape recheck results/demo/digits-eps0.hessian-seed0.h5 --sample 3")
@click.argument("files", metavar="FILE.h5...", nargs=-1, required=True, type=options.PATH)
@click.option(
    "--checkpoint",
    "checkpoints",
    type=options.PATH,
    metavar="PATH",
    multiple=True,
    help="A checkpoint that is not where the file says; may be given several times.",
)
@options.together(options.model, options.data, options.data_dir, options.loss)
@click.option(
    "--sample",
    type=options.Count(),
    help="How many eigenpairs, points, places, examples or rows are recomputed, at random.  [default: a few]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of this sample.")
@options.together(options.device, options.batch_size, options.volume)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    files: tuple[Path, ...],
    checkpoints: tuple[Path, ...],
    model: str | None,
    data: str | None,
    data_dir: Path | None,
    loss: str | None,
    sample: int | str | None,
    seed: int,
    device: str,
    batch_size: int | None,
    verbose: bool,
    quiet: bool,
) -> None:
    """Recompute a part of each result from its checkpoint and its recorded settings, and say PASS or what differs.

    Eigenvectors are multiplied once more, points of surfaces and curves attacked anew, verdicts found again; checkpoint
    and data are known by their SHA-256. Numbers agree within the rounding of float32 sums, or within what a rounding of
    the weights changes: so much may another device differ. Exit code 1: something differs, or could not be rechecked.
    """
    from ..losses import read_loss
    from ..rechecks import recheck
    from .recheck_table import show

    place = options.choose_device(device)
    sound: dict[str, list[Path]] = {}  # by their kinds, for a picture is of one kind
    for path in files:
        try:
            with progress(quiet=quiet, verbose=verbose, prefix=f"{path}: ") as report:
                found = recheck(
                    path,
                    checkpoint=checkpoints,
                    model=model,
                    data=data,
                    data_dir=data_dir,
                    loss=read_loss(loss),
                    sample=sample,
                    seed=seed,
                    device=place,
                    batch_size=batch_size,
                    progress=report,
                )
        except LandscapeError as error:
            if len(files) == 1:
                raise
            warn(f"Error: {error}")  # the other files are rechecked all the same
            continue
        if found.passed:
            sound.setdefault(found.kind, []).append(path)
        if not quiet or not found.passed:
            show(found, whole=verbose)
    for paths in () if quiet else sound.values():
        say_next("landscape", "plot", *paths)
    ctx.exit(0 if sum(map(len, sound.values())) == len(files) else 1)
