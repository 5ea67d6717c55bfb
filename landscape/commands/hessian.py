"""`landscape hessian CKPT...`: the top of the Hessian's spectrum, one result file for each checkpoint."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from .. import options
from ..errors import LandscapeError, UsageError
from ..results import Result, caveats, command_line, default_path, read_result
from ..terminal import print_table, progress, say
from .partial import Partial

if TYPE_CHECKING:
    from .subject import Subject

PAIRED = ("eigenvalues", "residuals", "eigenvalue_se", "gauss_newton", "gradient_projection", "pair_status")
NOT_CONVERGED = 3


@click.command(
    epilog="Example: landscape hessian digits/eps0.1 --eps 0.1 --top 10",
)
@click.argument("checkpoints", metavar="CKPT...", nargs=-1, required=True)
@options.measured
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="How many eigenpairs.")
@click.option("--method", type=click.Choice(["lanczos", "power"]), default="lanczos", show_default=True)
@click.option(
    "--which",
    type=click.Choice(["la", "lm", "sa"]),
    help="Largest, largest in magnitude, or smallest eigenvalues.  [default: la; lm for power]",
)
@click.option(
    "--adversary",
    type=click.Choice(["frozen"]),
    default="frozen",
    show_default=True,
    help="Adversarial examples are fixed at the net's weights.",
)
@click.option("--tol", type=float, default=1e-3, show_default=True, help="Residual over the pair's own |eigenvalue|.")
@click.option("--guard/--no-guard", default=True, show_default=True, help="Search once more for skipped pairs.")
@click.option("--max-products", type=click.IntRange(1), help="Stop after so many Hessian products.  [default: 40 TOP]")
@click.option(
    "--keep-vectors", type=click.IntRange(0), default=256, show_default=True, help="MiB of eigenvectors kept."
)
@options.written
@click.pass_context
def command(
    ctx: click.Context,
    /,
    checkpoints: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Find the top eigenpairs of the Hessian of each CKPT's (adversarial) loss, and the evidence for each.

    CKPT is a file, or the name of a net that ships, such as digits/eps0.1. The residual bounds the solver's error, the
    standard error that of the finite examples. Exit code 3: written, but not converged to --tol.
    """
    if out is not None and len(checkpoints) > 1:
        raise UsageError(f"--out names one file, and {len(checkpoints)} checkpoints came; leave it out, or give one")
    if settings["tol"] <= 0:
        raise UsageError(f"--tol {settings['tol']:g} can never be reached; give a positive number, such as 1e-3")
    code = 0
    written = []
    for source in checkpoints:
        path, result = measure(source, out=out, overwrite=overwrite, quiet=quiet, verbose=verbose, **settings)
        written.append(path)
        code = max(code, 0 if result.attrs["status"] == "complete" else NOT_CONVERGED)
    if not quiet:
        say(f"next: landscape plot {' '.join(str(path) for path in written)}")
    ctx.exit(code)


def measure(
    source: str,
    *,
    model: str | None = None,
    data: str | None = None,
    data_dir: Path | None = None,
    split: str = "train",
    n_examples: int | str | None = None,
    eps: str | None = None,
    norm: str | None = None,
    attack: str = options.DEFAULT_ATTACK,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    top: int = 20,
    method: str = "lanczos",
    which: str | None = None,
    adversary: str = "frozen",
    tol: float = 1e-3,
    guard: bool = True,
    max_products: int | None = None,
    keep_vectors: int = 256,
    out: Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> tuple[Path, Result]:
    """Return the result of one checkpoint and its file; a file of the same settings is read instead of made again."""
    from landscape.analyses.hessian import hessian

    from ..attacks import make_ball, parse_attack
    from ..data import select
    from .subject import choose_budget, load_subject, threat_line

    with progress(quiet=quiet, prefix=f"{source}: ") as report:
        subject = load_subject(
            source, model=model, data=data, data_dir=data_dir, split=split, device=device, report=report
        )
        radius, norm = choose_budget(subject, eps, norm)
        pgd = parse_attack(attack, make_ball(norm, radius))
        n = len(select(subject.data, n_examples, seed=seed))
        which = which or ("lm" if method == "power" else "la")
        identity = {
            "checkpoint_sha256": subject.checkpoint.sha256,
            "model": subject.model_spec,
            "data_sha256": subject.data.sha256,
            "split": split,
            "n_examples": n,
            "eps": radius,
            "norm": norm,
            "attack": str(pgd) if radius else "none",
            "seed": seed,
            "top": top,
            "method": method,
            "which": which,
            "adversary": adversary,
            "tol": tol,
            "guard": guard,
            "max_products": max_products,
            "keep_vectors": keep_vectors,
        }
        path = out or default_path(_stem(source, subject), "hessian", identity)
        found = None if overwrite else _finished(path, identity)
        if not quiet:
            say(threat_line(subject, eps=radius, norm=norm, n=n, attack=str(pgd), batchnorm=_batchnorm(subject)))
        if found is not None:
            result = found
        else:
            partial = Partial(path, identity, fresh=overwrite)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # said below, and by the exit code
                    result = hessian(
                        subject.model,
                        subject.data,
                        eps=radius,
                        norm=norm,
                        attack=pgd,
                        n_examples=n,
                        seed=seed,
                        batch_size=batch_size,
                        top=top,
                        method=method,
                        which=which,
                        tol=tol,
                        guard=guard,
                        max_products=max_products,
                        keep_vectors=keep_vectors * 2**20,
                        provenance_of={
                            **subject.provenance(),
                            "command": command_line(),
                            "settings": identity,
                        },
                        progress=report,
                        snapshot=partial,
                    )
            except KeyboardInterrupt as interruption:
                saved = (
                    ""
                    if not partial.flush()
                    else f"; what is done is in {partial.path}, and the same command resumes it"
                )
                raise KeyboardInterrupt(f"interrupted{saved}") from interruption
            result.save(path, overwrite=overwrite)
            partial.remove()
    if not quiet:
        show(result, path, again=found is not None)
    return path, result


def show(result: Result, path: Path, *, again: bool) -> None:
    """Print a Hessian result's table, what must be said beside it, and where it is."""
    attrs: dict[str, Any] = result.attrs
    header = ["k", "eigenvalue", "± se", "residual/|λ|", "v'Gv/λ", "g'v", "status"]
    rows = []
    columns = zip(*(result.arrays[name] for name in PAIRED), strict=True)
    words = {0: "not converged", 1: "ok", 2: "precision limit"}
    for number, (value, residual, se, gauss_newton, slope, status) in enumerate(columns, 1):
        relative = residual / abs(value) if value else np.nan
        share = f"{100 * gauss_newton / value:.1f} %" if value else "-"
        rows.append(
            [str(number), f"{value:.5g}", f"{se:.2g}", f"{relative:.0e}", share, f"{slope:.1e}", words[int(status)]]
        )
    title = (
        f"loss {attrs['loss']:.4g} ± {attrs['loss_se']:.1g}, error {100 * attrs['error_rate']:.1f} %, "
        f"gradient norm {attrs['gradient_norm']:.2g}; {attrs['hvps']} products, guard {_guard(attrs['guard_passed'])}"
    )
    print_table(title, header, rows)
    for caveat in caveats(result):
        say(f"caution: {caveat}")
    say(f"{'found' if again else 'wrote'} {path}")


def _guard(passed: bool | None) -> str:
    return {None: "not run", True: "passed", False: "FAILED"}[passed]


def _finished(path: Path, identity: dict[str, Any]) -> Result | None:
    if not path.exists():
        return None
    result = read_result(path, only=PAIRED)
    own = result.attrs.get("settings")
    if not isinstance(own, dict) or own != identity:
        differing = [key for key in identity if not isinstance(own, dict) or own.get(key) != identity[key]]
        shown = (
            ", ".join(f"{key} {own.get(key)} there, {identity[key]} asked" for key in differing[:3])
            if isinstance(own, dict)
            else "made elsewhere"
        )
        raise LandscapeError(f"{path} holds a result of other settings ({shown}); give --overwrite, or another --out")
    return result


def _stem(source: str, subject: Subject) -> str:
    return Path(source).stem if Path(source).is_file() else subject.checkpoint.name


def _batchnorm(subject: Subject) -> str:
    from landscape.analyses.hessian import batchnorm_policy

    return batchnorm_policy(subject.model)
