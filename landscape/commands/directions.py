"""What --dirs names: eigenvectors of a Hessian result (found, or computed first), random ones, ways between nets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape.analyses.surface import eigenvector_directions

from ..checkpoint import read_checkpoint, rebuild
from ..errors import ResultError, UsageError
from ..geometry import (
    Directions,
    directions_through,
    principal_directions,
    random_directions,
)
from ..params import ParameterSpace, first_difference
from ..results import Result, read_kind, read_result
from ..surfaces import Landmark
from ..terminal import say
from .subject import Subject

RESULTS = Path("results")
_EPOCH = re.compile(r"-epoch(\d+)$")


@dataclass(frozen=True, eq=False)
class Chosen:
    """Directions, the checkpoints that they come from (to be marked on the plane), and how to speak of them."""

    directions: Directions
    words: str
    landmarks: list[Landmark] = field(default_factory=list)
    joined: bool = False


def is_list_of_nets(text: str) -> bool:
    """Say whether --dirs names two or three checkpoints."""
    return "," in text


def nets_of(text: str) -> list[str]:
    """Return the checkpoints that A.pt,B.pt or A.pt,B.pt,C.pt names; raise UsageError for another number."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    if len(names) not in (2, 3):
        raise UsageError(f"--dirs {text} names {len(names)} checkpoints; give two (a line) or three (a plane)")
    return names


def newest_hessian(folder: Path = RESULTS) -> Path:
    """Return the newest complete Hessian result in `folder`; raise UsageError where there is none."""
    for path in sorted(folder.glob("*.h5"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            if read_kind(path) == "hessian" and read_result(path, only=()).attrs["status"] != "partial":
                return path
        except ResultError:
            continue
    raise UsageError(
        f"no checkpoint came, and {folder}/ holds no Hessian result to take one from; "
        "type: landscape hessian CKPT, or landscape surface CKPT"
    )


def find_hessian(wanted: dict[str, Any], count: int, folder: Path = RESULTS) -> Path | None:
    """Return a Hessian result with these attributes and `count` eigenvectors of the largest eigenvalues, or None."""
    for path in sorted(folder.glob("*.h5"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            if read_kind(path) != "hessian":
                continue
            attrs = read_result(path, only=()).attrs
            same = all(attrs.get(name) == value for name, value in wanted.items())
            plain = "params" not in attrs and attrs["which"] == "la" and not attrs.get("weight_decay")
            if same and plain and attrs["status"] == "complete" and _vectors(path) >= count:
                return path
        except ResultError:
            continue
    return None


def from_file(path: Path, subject: Subject) -> Chosen:
    """Return the directions that a Hessian or a surface result of the same net holds."""
    kind = read_kind(path)
    if kind not in ("hessian", "surface"):
        raise UsageError(f"{path} is a {kind} result and holds no directions; name a hessian or a surface result")
    result = read_result(path, only=["eigenvectors" if kind == "hessian" else "directions"])
    check_same_net(path, result, subject)
    if kind == "hessian":
        count = min(2, len(result.arrays["eigenvectors"]))
        return Chosen(eigenvector_directions(result, count), f"eigenvectors of {path}")
    rows = result.arrays["directions"]
    rows = rows[np.isfinite(rows).all(axis=1)]
    names, units = result.attrs["direction_names"], str(result.attrs["units"])
    assert isinstance(names, list)
    return Chosen(Directions(torch.from_numpy(rows), tuple(map(str, names)), units), f"directions of {path}")


def check_same_net(path: Path, result: Result, subject: Subject) -> None:
    """Raise UsageError unless a result was made from this checkpoint."""
    own = subject.checkpoint
    if (result.attrs["checkpoint_sha256"], result.attrs.get("checkpoint_key")) != (own.sha256, own.key):
        raise UsageError(
            f"{path} holds directions of another net ({result.attrs['checkpoint'] or 'of a notebook'}), and "
            f"{subject.checkpoint.name} was given; name a result of that checkpoint, or the checkpoint of that result"
        )


def random(subject: Subject, seed: int, perturb_1d: bool) -> Chosen:
    """Return two random directions, filter by filter as long as the net."""
    space = ParameterSpace(subject.model)
    found = random_directions(space, space.point(subject.model), seed=seed, perturb_1d=perturb_1d)
    kept = "biases and BatchNorm moved too" if perturb_1d else "biases and BatchNorm held"
    return Chosen(found, f"random directions of seed {seed}, filter-normalised, {kept}")


def stand_in(subject: Subject, seed: int, count: int) -> Chosen:
    """Return random directions in the place of eigenvectors, for a forecast: a point costs the same along any."""
    space = ParameterSpace(subject.model)
    found = random_directions(space, space.point(subject.model), seed=seed, count=count)
    return Chosen(found, f"the first {count} eigenvectors (a Hessian's time comes on top where results/ holds none)")


def between(subject: Subject, names: Sequence[str], model: str | None) -> Chosen:
    """Return directions from the subject's net to one or two others, all of them landmarks."""
    marks = [Landmark(Path(names[0]).stem, subject.model), *(landmark(name, subject, model) for name in names[1:])]
    points = _points(marks)
    return Chosen(directions_through(points, [mark.name for mark in marks]), f"through {', '.join(names)}", marks)


def trajectory(subject: Subject, model: str | None) -> Chosen:
    """Return the principal directions of the run that the subject's checkpoint ends, its checkpoints as landmarks."""
    marks = run_of(subject, model)
    found = principal_directions(_points(marks))
    return Chosen(found, f"principal directions of {len(marks)} checkpoints", marks, joined=True)


def run_of(subject: Subject, model: str | None) -> list[Landmark]:
    """Return the checkpoints NAME-epochN of the run of NAME that lie beside it, in their order, NAME last."""
    path = subject.checkpoint.path
    stem = _EPOCH.sub("", path.stem)
    found = {}
    for other in path.parent.glob(f"{stem}-epoch*{path.suffix}"):
        match = _EPOCH.search(other.stem)
        if match and other.stem == f"{stem}{match[0]}" and other != path:
            found[int(match[1])] = other
    last = subject.checkpoint.training.get("epoch")
    found = {epoch: other for epoch, other in found.items() if not isinstance(last, int) or epoch < last}
    if len(found) < 2:
        raise UsageError(
            f"{len(found)} checkpoints of the run of {path.name} lie beside it as {stem}-epochN{path.suffix}; "
            "a trajectory needs two or more: train with --save-epochs 1,2,5,10"
        )
    marks = [landmark(str(other), subject, model, name=f"epoch {epoch}") for epoch, other in sorted(found.items())]
    return [*marks, Landmark(f"epoch {last}" if isinstance(last, int) else path.stem, subject.model)]


def marked(subject: Subject, text: str, model: str | None) -> tuple[list[Landmark], bool]:
    """Return the landmarks that --mark names ("run", or checkpoints), and whether they are one run."""
    if text == "run":
        return run_of(subject, model), True
    return [landmark(name.strip(), subject, model) for name in text.split(",") if name.strip()], False


def announce(words: str) -> None:
    """Say where the directions come from."""
    say(f"along {words}")


def landmark(source: str, subject: Subject, model: str | None, name: str = "") -> Landmark:
    """Return another checkpoint's net as a landmark; raise UsageError where it is no point of the subject's space."""
    checkpoint = read_checkpoint(source, key=subject.checkpoint.key)
    data = subject.data
    net, spec = rebuild(checkpoint, model=model, input=data.shape, classes=data.classes)
    space, own = ParameterSpace(net), ParameterSpace(subject.model)
    if (told := first_difference(own, space)) is not None:
        raise UsageError(f"{source} is no net of the shape of {subject.checkpoint.name} ({spec}): {told}")
    device = next(subject.model.parameters()).device
    return Landmark(name or checkpoint.name, net.eval().to(device))


def _points(marks: Sequence[Landmark]) -> torch.Tensor:
    return torch.stack([ParameterSpace(mark.model).point(mark.model) for mark in marks])


def _vectors(path: Path) -> int:
    from ..results.store import array_shapes

    return array_shapes(path)["eigenvectors"][0]
