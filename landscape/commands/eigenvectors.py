"""The first eigenvectors of a net's Hessian as directions: of a result under results/, or computed first."""

from __future__ import annotations

from dataclasses import replace

from landscape.analyses.surface import eigenvector_directions

from ..attacks import PGD
from ..distributed import current
from ..errors import LandscapeError
from ..results import read_result
from ..terminal import say
from . import directions
from .measurement import Request as HessianRequest
from .measurement import measure
from .subject import Subject, Target

_SHARED = ("model", "key", "data", "data_dir", "split", "attack", "loss", "seed", "device", "batch_size")


def eigenvectors(
    source: str,
    subject: Subject,
    request: Target,
    attack: PGD,
    n: int,
    count: int,
    *,
    quiet: bool,
    verbose: bool,
) -> directions.Chosen:
    """Return the first `count` eigenvectors at the attack's radius, on the n examples that a command looks at."""
    eps = attack.ball.eps
    wanted = {
        "checkpoint_sha256": subject.checkpoint.sha256,
        "data_sha256": subject.data.sha256,
        "split": request.split,
        "n_examples": n,
        "seed": request.seed,
        "eps": eps,
        "norm": attack.ball.norm,
        "attack": str(attack) if eps else "none",
        "loss_function": subject.loss_spec,
        "checkpoint_key": subject.checkpoint.key,
    }
    group = current()
    path = group.from_first(lambda: directions.find_hessian(wanted, count))
    if path is None:
        if not quiet:
            say(f"top{count} needs a Hessian of {source} at this eps, and results/ holds none: computing it first")
        shared = {name: getattr(request, name) for name in _SHARED}
        path, _ = measure(
            source,
            replace(HessianRequest(**shared), eps=f"{eps!r}", norm=attack.ball.norm, n_examples=n, top=count),
            quiet=quiet,
            verbose=verbose,
        )

    def read() -> directions.Chosen:
        result = read_result(path, only=["eigenvectors"])
        directions.check_same_net(path, result, subject)
        if result.attrs["status"] != "complete":
            raise LandscapeError(f"{path} has not converged, and its eigenvectors are no directions to walk along")
        words = f"eigenvectors 1 and 2 of {path}" if count == 2 else f"eigenvector 1 of {path}"
        return directions.Chosen(eigenvector_directions(result, count), words)

    return group.from_first(read)
