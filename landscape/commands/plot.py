"""`landscape plot FILE.h5...`: a good picture of any result, at once."""

from __future__ import annotations

from pathlib import Path

import click

from .. import options
from ..errors import LandscapeError, ResultError
from ..terminal import say

_NO_PICTURE = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)


@click.command(epilog="Example: landscape plot results/*.hessian-*.h5 --out spectra.pdf")
@click.argument("files", metavar="FILE.h5...", nargs=-1, required=True, type=options.PATH)
@click.option(
    "--out", type=options.PATH, help="Where to draw; .png and .pdf are both written.  [default: beside the first file]"
)
@options.overwrite
def command(files: tuple[Path, ...], out: Path | None, overwrite: bool) -> None:
    """Draw results, those of one kind together, as a PNG and a PDF.

    Beside the first file, a picture that landscape drew before is drawn again; any other file is kept.
    """
    from ..plots import drawn_by_landscape, plot, save_figure
    from ..results import read_result
    from ..results.kinds import KINDS
    from ..results.store import read_kind

    kinds = [read_kind(path) for path in files]
    # No eigenvectors, and no losses of single examples: a picture needs neither, and they are large.
    small = [[name for name, array in KINDS[kind].arrays.items() if not {"P", "n"} & {*array.dims}] for kind in kinds]
    results = [read_result(path, only=names) for path, names in zip(files, small, strict=True)]
    try:
        figure = plot(results)
    except _NO_PICTURE as error:  # what fits its kind need not make sense: sizes of nought, numbers without end
        shown = ", ".join(map(str, files[:3]))
        raise ResultError(
            f"{shown} cannot be drawn ({type(error).__name__}: {' '.join(str(error).split())[:200]}); "
            "are the numbers in it those that a landscape command wrote?"
        ) from error
    stem = files[0] if out is None else out
    stem = stem.with_suffix("") if stem.suffix in (".h5", ".pdf", ".png") else stem
    pictures = [stem.with_name(stem.name + suffix) for suffix in (".png", ".pdf")]
    if not overwrite:
        for picture in pictures:
            if picture.is_file() and (out is not None or not drawn_by_landscape(picture)):
                raise LandscapeError(f"{picture} exists and is kept; give --overwrite, or another --out")
    say("wrote " + ", ".join(str(save_figure(figure, picture)) for picture in pictures))
