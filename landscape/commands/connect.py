"""`landscape connect A B`: loss and error along a curve and the line between two nets, and the barriers on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .. import options
from ..terminal import say_next
from ..units import format_eps
from .together import in_all_processes


class Places(click.ParamType[Any]):
    """How many places t, or which."""

    name = "N|T,T..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Sequence[float]:
        """Return the number, or the places."""
        if not isinstance(value, str):
            return value
        try:
            return [float(part) for part in value.split(",")] if "," in value else int(value)
        except ValueError:
            self.fail(f"{value!r} is no number of points; write 51, or places such as 0,0.25,0.5,1", param, ctx)


@click.command(epilog="Example: landscape connect digits/eps0.1 digits/eps0.05 --eps 0.1 --epochs 5 --points 21")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@options.measured
@options.together(
    click.option(
        "--curve", type=click.Choice(["bezier", "polychain", "line"]), help="The line is always measured.  [bezier]"
    ),
    click.option("--interior-points", type=click.IntRange(0), help="Control points between the nets.  [default: 3]"),
    click.option(
        "--control-points", type=options.PATH, metavar="FILE.pt", help="Take the curve that an earlier run has trained."
    ),
    click.option(
        "--epochs", type=click.IntRange(0), help="Training of the control points; 0: none.  [default: those of A]"
    ),
    click.option("--train-eps", metavar="EPS", help="Radius of this training.  [default: the nets', else --eps]"),
    click.option(
        "--eps-schedule", type=click.Choice(["constant", "linear", "cosine"]), help="Warm-up of it.  [default: A's]"
    ),
    click.option("--optimizer", type=click.Choice(["adam", "sgd"]), help="[default: A's]"),
    click.option("--lr", type=float, help="Its learning rate.  [default: A's]"),
    click.option(
        "--lr-schedule",
        type=click.Choice(["constant", "step", "cosine", "linear", "cyclic"]),
        help="[default: A's]",
    ),
    click.option(
        "--points", type=Places(), default=51, show_default=True, help="Places t; both ends and 1/2 are among them."
    ),
    click.option("--adaptive", is_flag=True, help="Add places where the loss turns."),
    click.option(
        "--grid-tol",
        type=click.FloatRange(0, 1, min_open=True),
        default=0.02,
        show_default=True,
        help="Turn that --adaptive lets pass, as a share of the local loss.",
    ),
    click.option(
        "--batchnorm",
        type=click.Choice(["frozen", "clean-recal", "adv-recal", "interpolated"]),
        help="BatchNorm statistics at each t.  [default: recalibrated as the nets were trained]",
    ),
    click.option("--gradient", is_flag=True, help="Norm of the gradient along the curve too, at the largest eps."),
    click.option("--lambda1", "lambda_1", is_flag=True, help="Largest Hessian eigenvalue too; slow."),
)
@options.written
@in_all_processes
def command(
    first: str,
    second: str,
    out: Path | None,
    overwrite: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Look for a path of low loss from net A to net B, clean and attacked: train a curve, and scan it and the line.

    The barrier is the highest rise of the loss above the chord of the ends, t chosen on one half of the examples and
    the rise measured on the other. A curve's is an upper bound: more --epochs or points may lower it. --eps takes
    several radii, and the clean loss is always measured. Training and scan are kept: Ctrl-C, and repeat.
    """
    from ..checkpoint import resolve_checkpoint
    from ..surfaces.turning import places_along
    from .connect_table import show
    from .connecting import run_connect
    from .pair import Request

    for source in (first, second):
        resolve_checkpoint(source)
    places_along(settings["points"])  # what is mistyped is not to be found after the training
    request = Request(**settings)
    path, result, again = run_connect(
        (first, second), request, out=out, overwrite=overwrite, quiet=quiet, verbose=verbose
    )
    if quiet:
        return
    show(result, path, again=again)
    control = result.attrs["control_points"]
    if control is not None:
        radii = ",".join(format_eps(float(eps)) for eps in result.arrays["eps"])
        through = ["--dirs", f"{first},{second},{control}", *request.words]
        say_next("landscape", "surface", *through, "--eps", radii, "--grid", "15x15")
    say_next("landscape", "plot", path)
