"""`landscape theory`: thresholds and phase diagram of the linear model on two classes of real data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import options
from ..errors import UsageError
from ..spec import parse_spec
from ..terminal import Interruption, progress
from ..units import parse_eps

NOT_CONVERGED = 3


@click.command(epilog="Example: landscape theory --data digits --classes 3,8")
@options.data
@click.option("--classes", metavar="A,B", required=True, help="The two classes to tell apart, by their labels.")
@click.option("--eps", metavar="EPS[,EPS...]", help="Radii in pixel units.  [default: a grid to beyond the thresholds]")
@click.option(
    "--box/--no-box",
    default=False,
    show_default=True,
    help="Clip attacked images to [0, 1]; the paper's model does not.",
)
@options.data_dir
@options.split
@options.n_examples
@options.seed
@options.written
@click.pass_context
def command(
    ctx: click.Context,
    /,
    data: str | None,
    classes: str,
    eps: str | None,
    box: bool,
    data_dir: Path | None,
    split: str,
    n_examples: int | str | None,
    seed: int,
    out: Path | None,
    overwrite: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Find where adversarial training of a linear model ends in a perfect, a finite or a constant classifier.

    Exact, for an l-inf adversary and a linear model with biases: below gamma* some classifier withstands every attack,
    from eps_bar on the best one ignores its input. Exit code 3: written, but an optimum was not found to 1e-7.
    """
    if data is None:
        raise UsageError("--data is missing; such as: landscape theory --data digits --classes 3,8")
    pair = _pair(classes)
    radii = None if eps is None else [parse_eps(part) for part in eps.split(",")]
    from landscape.analyses.theory import linear_theory, of_classes

    from ..data import load_data, select
    from ..files import check_writable
    from ..results import command_line, default_path
    from .finished import finished
    from .theory_table import show

    with progress(quiet=quiet, verbose=verbose) as report:
        images = load_data(data, split=split, data_dir=data_dir, progress=report)
    identity: dict[str, Any] = {
        "data_sha256": images.sha256,
        "split": split,
        "classes": sorted(pair),
        "n_examples": len(select(of_classes(images, pair), n_examples, seed=seed)),
        "seed": seed,
        "eps": None if radii is None else sorted(set(radii)),
        "box": box,
    }
    stem = f"{Path(parse_spec(data).head).stem}-{min(pair)}-{max(pair)}"
    path = out or default_path(stem, "theory", identity)
    found = None if overwrite else finished(path, identity)
    if found is None:
        check_writable(path)
        try:
            with progress(quiet=quiet, verbose=verbose) as report:
                result = linear_theory(
                    images,
                    classes=pair,
                    eps=radii,
                    box=box,
                    n_examples=n_examples,
                    seed=seed,
                    provenance_of={"command": command_line(), "settings": identity},
                    progress=report,
                )
        except Interruption as interruption:
            raise Interruption("interrupted; nothing was written, and the same command begins again") from interruption
        result.save(path, overwrite=overwrite)
    else:
        result = found
    if not quiet:
        show(result, path, again=found is not None)
    ctx.exit(0 if result.attrs["status"] == "complete" else NOT_CONVERGED)


def _pair(text: str) -> tuple[int, int]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise UsageError(f"--classes {text} is no pair of labels; give two whole numbers, such as --classes 3,8")
    return int(parts[0]), int(parts[1])
