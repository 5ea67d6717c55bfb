"""`landscape report RESULTS...`: one offline HTML page from folders of results."""

from __future__ import annotations

from pathlib import Path

import click

from .. import options
from ..errors import LandscapeError
from ..terminal import print_table, progress, say, say_next, warn

_MARK = b'<meta name="generator" content="Landscape '
_SHOWN = 5  # of the files left out


@click.command(epilog="Example: landscape report results -o report.html --title 'Digits, four radii'")
@click.argument("results", metavar="RESULTS...", nargs=-1, required=True, type=options.PATH)
@click.option("-o", "--out", type=options.PATH, help="The page to write.  [default: report.html]")
@click.option("--title", default="Landscape report", show_default=True, help="What stands above the page.")
@options.overwrite
@options.volume
def command(
    results: tuple[Path, ...], out: Path | None, title: str, overwrite: bool, verbose: bool, quiet: bool
) -> None:
    """Make one HTML page from folders of results of any kinds, or from files.

    The page holds all that it shows and asks no network: surfaces with their cuts, two side by side, spectra, training
    runs, curves, evaluations and the rest, what each file says against its own numbers, and the command that made it.
    Files that cannot be read are named and left out. A report.html that landscape made before is made again; other
    files are kept.
    """
    from ..files import atomic_path, check_writable
    from ..report import gather, make_page

    path = Path("report.html") if out is None else out
    again = overwrite or (out is None and _ours(path))
    if path.is_file() and not again:
        raise LandscapeError(f"{path} exists and is kept; give --overwrite, or another --out")
    check_writable(path)
    with progress(quiet=quiet, verbose=verbose) as report:
        sources, left = gather(results, progress=report)
        document = make_page(sources, left, title=title, progress=report)
        report("writing", 0, 1)
        with atomic_path(path, overwrite=again) as temporary:
            temporary.write_text(document, encoding="utf-8")
    for one in left[:_SHOWN]:
        warn(f"left out {one.path}: {one.reason}")
    if len(left) > _SHOWN:
        warn(f"and {len(left) - _SHOWN} more, listed in the page")
    if quiet:
        return
    from ..results import caveats

    rows = []
    for kind in dict.fromkeys(source.result.kind for source in sources):
        own = [source for source in sources if source.result.kind == kind]
        cautioned = sum(bool(caveats(source.result)) for source in own)
        rows.append([kind, str(len(own)), str(cautioned), str(sum(bool(source.thinned) for source in own))])
    size = path.stat().st_size / 1e6
    print_table(
        f"{len(sources)} results on one page of {size:.1f} MB", ["kind", "results", "cautions", "thinned"], rows
    )
    say(f"wrote {path}")
    say_next("python", "-m", "webbrowser", path)


def _ours(path: Path) -> bool:
    """Say whether a report of landscape's lies at a path."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return _MARK in file.read(4096)
