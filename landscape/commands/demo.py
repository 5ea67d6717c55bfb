"""`landscape demo`: the tour on what ships: two nets, two Hessians, one picture; no data to fetch."""

from __future__ import annotations

from pathlib import Path

import click

from .. import options
from ..errors import ResultError
from ..terminal import say

NETS = ("digits/eps0", "digits/eps0.1")


@click.command(epilog="Example: landscape demo --out tour")
@click.option(
    "--out", type=options.PATH, default=Path("results/demo"), show_default=True, help="Folder for results and pictures."
)
@options.seed
def command(out: Path, seed: int) -> None:
    """Measure the Hessian of a robust digits net and of its non-robust twin, each at the radius it was trained at.

    Draws fig. 3a of Liu et al. (2020) for them: the nets are small and the data are digits, not CIFAR-10.
    """
    from landscape.figures.fig3_hessian import draw

    from ..results import command_line
    from .measurement import Request, measure

    files = []
    for net in NETS:
        path = out / f"{net.replace('/', '-')}.hessian-seed{seed}.h5"
        try:
            measure(net, Request(seed=seed), out=path)
        except ResultError:  # the names are the demo's own: what an older version left there is measured anew
            say(f"{path} is of another version or of other settings; it is measured anew")
            measure(net, Request(seed=seed), out=path, overwrite=True)
        files.append(path)
    pictures, _ = draw(files, out / "fig3_hessian.pdf", command=command_line())
    say(f"pictures: {', '.join(str(path) for path in pictures)}")
    say("next, a net of your own: landscape train --data digits --model lenet:width=2 --eps 0.05 --out robust.pt")
