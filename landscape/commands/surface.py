"""`landscape surface [CKPT...]`: loss and error on a line or a plane in weight space."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from .. import options
from ..errors import UsageError
from ..launch import follows
from ..terminal import say, say_next
from .together import in_all_processes

_BETWEEN = ("frozen", "clean-recal", "adv-recal")


class GridShape(click.ParamType[tuple[int, int]]):
    """Points along x by points along y."""

    name = "NXxNY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return (nx, ny)."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", str(value).strip())
        if match is None or not int(match[1]) or not int(match[2]):
            self.fail(
                f"{value!r} is no grid; write points along x by points along y, such as 21x21 or 41x1", param, ctx
            )
        return int(match[1]), int(match[2])


class Extent(click.ParamType[Any]):
    """Half a width, bounds for both axes, bounds for each, or auto."""

    name = "R"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return "auto", or (low, high) for x and for y."""
        if value == "auto" or isinstance(value, tuple):
            return value
        try:
            parts = [[float(number) for number in part.split(":")] for part in str(value).split(",")]
        except ValueError:
            parts = []
        shapes = [len(part) for part in parts]
        if shapes == [1]:
            bounds = [(-parts[0][0], parts[0][0])] * 2
        elif shapes in ([2], [2, 2]):
            bounds = [(part[0], part[1]) for part in parts] * (2 // len(parts))
        else:
            self.fail(f"{value!r} is no range; write 0.5, -1:2, XLOW:XHIGH,YLOW:YHIGH, or auto", param, ctx)
        for low, high in bounds:
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                self.fail(
                    f"{value!r} holds no points from {low:g} to {high:g}; write LOW:HIGH, LOW below HIGH", param, ctx
                )
        return tuple(bounds)


@click.command(epilog="Example: landscape surface digits/eps0.1 --eps 0,0.1 --grid 11x11 --n-examples 200")
@click.argument("checkpoints", metavar="[CKPT...]", nargs=-1)
@options.measured
@click.option(
    "--dirs",
    default="top2",
    show_default=True,
    metavar="DIRS",
    help="top2, top1 (Hessian eigenvectors), random, trajectory, A.pt,B.pt[,C.pt], or a result FILE.h5.",
)
@click.option("--perturb-1d", is_flag=True, help="Random directions move biases and BatchNorm too.")
@click.option("--grid", type=GridShape(), help="Points along x by along y.  [default: 21x21; 41x1 on a line]")
@click.option(
    "--range",
    "extent",
    type=Extent(),
    default="auto",
    show_default=True,
    help="R, LOW:HIGH or XLOW:XHIGH,YLOW:YHIGH; auto: where the loss has risen by 1 nat, one range for all CKPT.",
)
@click.option(
    "--adversary",
    type=click.Choice(["reattack", "frozen"]),
    default="reattack",
    show_default=True,
    help="Attack anew at each point, or keep the images found at the net.",
)
@click.option(
    "--batchnorm",
    type=click.Choice(_BETWEEN),
    help="BatchNorm statistics off the net: its own, or recalibrated at each point.  [default: frozen; between nets "
    "recalibrated]",
)
@click.option("--bn-sensitivity", is_flag=True, help="The same slice under each BatchNorm policy.")
@click.option("--cap", type=click.FloatRange(0, min_open=True), help="Attack no point of a larger clean loss, in nats.")
@click.option("--audit", type=click.IntRange(0), default=5, show_default=True, help="Points audited; 0: none.")
@click.option("--audit-examples", type=click.IntRange(1), default=128, show_default=True, help="Examples of the audit.")
@click.option("--adaptive", is_flag=True, help="A quick look: interpolate where the surface is smooth.")
@click.option(
    "--grid-tol",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.02,
    show_default=True,
    help="Error that --adaptive allows, as a share of the local loss.",
)
@click.option(
    "--mark", metavar="run|CKPT,...", help="Mark checkpoints on the plane: those of CKPT's own run, or others."
)
@click.option("--plan", is_flag=True, help="Say what it will take, and scan nothing.")
@options.written
@in_all_processes
def command(
    checkpoints: tuple[str, ...],
    extent: Any,
    out: Path | None,
    overwrite: bool,
    verbose: bool,
    quiet: bool,
    bn_sensitivity: bool,
    plan: bool,
    **settings: Any,
) -> None:
    """Scan loss and error of each CKPT on a line or a plane in weight space, clean and attacked.

    CKPT is a file, or the name of a net that ships, such as digits/eps0.1; without one, that of the newest Hessian
    result under results/, with its eigenvectors and its budget. The loss under attack is that of the worst image found,
    a lower bound: the audit says how much stronger attacks add. Each finished point is kept: Ctrl-C, and repeat.
    """
    from ..surfaces import grid_shape
    from .surface_table import show
    from .surfacing import Request, auto_radius, plan_scan, predict, run_scan

    settings["range"] = extent
    if settings["grid"] is not None:  # before a Hessian is computed for directions along which nothing can be scanned
        grid_shape(settings["grid"], line=settings["dirs"] == "top1")
    sources, settings = _sources(checkpoints, settings, quiet)
    policies = _BETWEEN if bn_sensitivity else (settings["batchnorm"],)
    if out is not None and len(sources) * len(policies) > 1:
        raise UsageError(f"--out names one file, and {len(sources) * len(policies)} surfaces come; leave it out")
    if bn_sensitivity and settings["batchnorm"] is not None:
        raise UsageError("--bn-sensitivity takes every BatchNorm policy; leave --batchnorm out")
    requests = [Request(**settings | {"batchnorm": policy}) for policy in policies]
    plans = [
        (source, plan_scan(source, request, quiet=quiet, verbose=verbose, forecast_only=plan))
        for source in sources
        for request in requests
    ]
    if plan:
        for _, one in plans if not follows() else ():
            _tell(one, predict(one, quiet=quiet, verbose=verbose))
        return
    if settings["range"] == "auto" and len(plans) > 1:
        radius = max(auto_radius(one, quiet=quiet, verbose=verbose) for _, one in plans)
        if not quiet:
            say(f"one range for all: the largest of their own, {radius:g}")
        bounds = ((-radius, radius), (-radius, radius))
        plans = [(source, replace(one, request=replace(one.request, range=bounds))) for source, one in plans]
    written = []
    for source, one in plans:
        path, result, again = run_scan(source, one, out=out, overwrite=overwrite, quiet=quiet, verbose=verbose)
        written.append(path)
        if not quiet:
            show(result, path, again=again)
    if not quiet:
        say_next("landscape", "plot", *written)


def _sources(checkpoints: tuple[str, ...], settings: dict[str, Any], quiet: bool) -> tuple[list[str], dict[str, Any]]:
    """Return the checkpoints to scan; where none came, that of --dirs A,B or of the newest Hessian result."""
    from ..checkpoint import resolve_checkpoint
    from ..results import read_result
    from .directions import is_list_of_nets, nets_of, newest_hessian

    between = is_list_of_nets(settings["dirs"])
    if between:
        first = nets_of(settings["dirs"])[0]
        if checkpoints not in ((), (first,)):
            raise UsageError(
                f"--dirs {settings['dirs']} begins at {first}, and {checkpoints[0]} came too; leave it out"
            )
        checkpoints = (first,)
    for source in checkpoints:
        resolve_checkpoint(source)  # a name mistyped at the end is not to be found after hours
    if checkpoints:
        return list(checkpoints), settings
    path = newest_hessian() if not settings["dirs"].endswith(".h5") else Path(settings["dirs"])
    attrs: dict[str, Any] = read_result(path, only=()).attrs
    source = _checkpoint_of(path, attrs)
    told = {"eps": None if "eps" not in attrs else repr(attrs["eps"]), "norm": attrs["norm"]}
    told |= {"n_examples": attrs["n_examples"], "split": attrs["split"]}
    if attrs["attack"] not in (None, "none"):
        told["attack"] = attrs["attack"]
    context = click.get_current_context()
    given = {name for name in told if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE}
    if not quiet:
        say(f"no checkpoint came: taking {source}, its budget and its directions from {path}")
    settings = settings | {name: value for name, value in told.items() if name not in given and value is not None}
    if "seed" not in given and attrs["seed"] is not None:
        settings["seed"] = attrs["seed"]
    return [source], settings


def _checkpoint_of(path: Path, attrs: dict[str, Any]) -> str:
    from ..checkpoint import resolve_checkpoint
    from ..files import sha256_of

    source = attrs.get("checkpoint_file")
    if not isinstance(source, str):
        raise UsageError(f"{path} does not say which checkpoint it was made from; name it: landscape surface CKPT")
    place = resolve_checkpoint(source)
    if sha256_of(place) != attrs["checkpoint_sha256"]:
        raise UsageError(f"{source} has changed since {path} was made from it; type: landscape hessian {source}")
    return source


def _tell(plan: Any, forecast: Any) -> None:
    from ..terminal import print_pairs
    from .surfacing import describe

    nx, ny = plan.shape
    minutes = forecast.seconds / 60
    print_pairs(
        [
            ("surface", describe(plan)),
            ("directions", plan.chosen.words),
            ("points", f"{nx} x {ny} = {forecast.points:,}"),
            ("passes of one example", f"{forecast.passes:,} (a forward and a backward pass count one each)"),
            ("time", f"about {minutes:.0f} min" if minutes >= 2 else f"about {forecast.seconds:.0f} s"),
        ]
    )
