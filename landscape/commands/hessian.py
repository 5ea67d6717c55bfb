"""`landscape hessian CKPT...`: the top of the Hessian's spectrum, one result file for each checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from .. import options
from ..errors import UsageError
from ..terminal import say_next
from .together import in_all_processes

NOT_CONVERGED = 3


@click.command(epilog="Example: landscape hessian digits/eps0.1 --eps 0.1 --top 10")
@click.argument("checkpoints", metavar="CKPT...", nargs=-1, required=True)
@options.measured
@click.option("--top", type=click.IntRange(1), help="How many eigenpairs.  [default: 20, or all of a small block]")
@click.option(
    "--params", metavar="PATTERN", help="Diagonal block of the parameters whose names match: 'layer4.*,fc.weight'."
)
@click.option("--per-layer", is_flag=True, help="One result for each layer's own block.")
@click.option("--method", type=click.Choice(["lanczos", "power"]), default="lanczos", show_default=True)
@click.option(
    "--which",
    type=click.Choice(["la", "lm", "sa"]),
    help="Largest, largest in magnitude, or smallest eigenvalues.  [default: la; lm for power]",
)
@click.option(
    "--adversary",
    type=click.Choice(["frozen", "reattack"]),
    default="frozen",
    show_default=True,
    help="Fixed at the net's weights; or attacking anew beside them too, along the first eigenvectors.",
)
@click.option("--along", type=click.IntRange(1), help="With reattack: along so many eigenvectors.  [default: 1]")
@click.option("--h", type=options.Numbers(), help="With reattack: steps of the differences.  [default: 0.002,...,0.1]")
@click.option("--tol", type=float, default=1e-3, show_default=True, help="Residual over the pair's own |eigenvalue|.")
@click.option("--guard/--no-guard", default=None, help="Search once more for skipped pairs.  [default: guard]")
@click.option(
    "--weight-decay", type=options.Decay(), default=0.0, help="Add this L2 term to the loss, or that of training."
)
@click.option(
    "--per-example", metavar="K", type=click.IntRange(1), help="Keep each example's terms of the first K eigenvalues."
)
@click.option("--density", is_flag=True, help="Spectral density, trace and Frobenius norm too.")
@click.option("--probes", type=click.IntRange(2), help="Random starts of the density.  [default: 8]")
@click.option(
    "--sizes", type=options.Counts(), default=(), help="The first eigenvalues of fewer examples too: 250,500,1000."
)
@click.option(
    "--max-products",
    type=click.IntRange(1),
    help="Stop lanczos after so many Hessian products.  [default: 40 TOP, at least 400]",
)
@click.option(
    "--keep-vectors", type=click.IntRange(0), default=256, show_default=True, help="MiB of eigenvectors kept."
)
@click.option(
    "--basis",
    type=click.Choice(["float64", "float32"]),
    default="float64",
    show_default=True,
    help="How the solver keeps its vectors: float32 halves the memory.",
)
@options.written
@click.pass_context
@in_all_processes
def command(
    ctx: click.Context,
    /,
    checkpoints: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    verbose: bool,
    quiet: bool,
    per_layer: bool,
    **settings: Any,
) -> None:
    """Find the top eigenpairs of the Hessian of each CKPT's (adversarial) loss, and the evidence for each.

    CKPT is a file, or the name of a net that ships, such as digits/eps0.1. The residual bounds the solver's error, the
    standard error that of the finite examples. Exit code 3: written, but not converged to --tol.
    """
    _check(checkpoints, out, per_layer, settings)
    from ..checkpoint import resolve_checkpoint
    from .hessian_table import show_layers
    from .measurement import Request, layer_requests, measure

    for source in checkpoints:
        resolve_checkpoint(source)  # a name mistyped at the end is not to be found after hours
    request = Request(**settings | {"guard": settings["guard"] is not False})
    code = 0
    written = []
    for source in checkpoints:
        blocks = layer_requests(source, request) if per_layer else {"": request}
        found = {}
        for layer, block in blocks.items():
            path, found[layer] = measure(source, block, out=out, overwrite=overwrite, quiet=quiet, verbose=verbose)
            written.append(path)
        code = max([code, *(NOT_CONVERGED for result in found.values() if result.attrs["status"] != "complete")])
        if per_layer and not quiet:
            show_layers(source, found)
    if not quiet:
        say_next("landscape", "plot", *written)
    ctx.exit(code)


def _check(checkpoints: tuple[str, ...], out: Path | None, per_layer: bool, settings: dict[str, Any]) -> None:
    if out is not None and per_layer:
        raise UsageError("--out names one file, and --per-layer writes one for each layer; leave it out")
    if out is not None and len(checkpoints) > 1:
        raise UsageError(f"--out names one file, and {len(checkpoints)} checkpoints came; leave it out, or give one")
    if not 0 < settings["tol"] < math.inf:
        raise UsageError(f"--tol {settings['tol']:g} can never be reached; give a positive number, such as 1e-3")
    limit = settings["max_products"]
    if settings["density"] and settings["method"] == "power":
        raise UsageError("--density needs the orthonormal pairs of --method lanczos; leave --method power out")
    if settings["probes"] is not None and not settings["density"]:
        raise UsageError(f"--probes {settings['probes']} are those of the density; give --density with it")
    if settings["sizes"] and settings["method"] == "power":
        raise UsageError("--sizes are for --method lanczos; leave --method power out")
    if limit is not None and settings["method"] == "power":
        raise UsageError("--max-products means nothing to the power method; leave it out, or give --method lanczos")
    if settings["guard"] is not None and settings["method"] == "power":
        raise UsageError("the power method has no guard; leave --guard and --no-guard out, or give --method lanczos")
    if settings["basis"] != "float64" and settings["method"] == "power":
        raise UsageError("the power method keeps no basis; leave --basis out, or give --method lanczos")
    if settings["params"] is not None and per_layer:
        raise UsageError("--params names one block and --per-layer takes each layer's; give one of the two")
    block = settings["params"] is not None or per_layer
    top = settings["top"] or (1 if block else 20)  # how many a small block has, is known once the net is
    examples = settings["per_example"]
    if examples is not None and examples > top and not (block and settings["top"] is None):
        raise UsageError(
            f"--per-example {examples} is more than the {top} eigenpairs of --top; give one of them another value"
        )
    for name in ("along", "h"):
        if settings[name] is not None and settings["adversary"] == "frozen":
            raise UsageError(f"--{name} is for an adversary that attacks anew; give --adversary reattack with it")
    if settings["along"] is not None and settings["along"] > top and not (block and settings["top"] is None):
        raise UsageError(f"--along {settings['along']} is more than the {top} eigenpairs of --top; give a larger --top")
    if limit is not None and limit < top:
        raise UsageError(f"--max-products {limit} is too few for --top {top}; each takes one or more")
