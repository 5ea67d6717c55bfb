"""The curve between two nets from options to control points: read from a file, found, resumed, or trained."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from ..distributed import Lost, current
from ..errors import LandscapeError, UsageError
from ..files import check_writable, sha256_of
from ..geometry import Curve, middle_of, recalibration
from ..objective import Objective
from ..params import ParameterSpace
from ..results import command_line
from ..terminal import Interruption, Report
from ..training.curve_run import CurveFiles, TrainedCurve, train_curve
from .pair import Pair


@dataclass(frozen=True, eq=False)
class Chosen:
    """A curve's interior control points (m, P), the file that holds them, and how they were trained."""

    points: Tensor
    path: Path | None = None
    epochs: int = 0
    steps: int = 0
    training: dict[str, Any] | None = None


def read_control_points(path: Path, ends_sha256: list[str], names: tuple[str, str]) -> tuple[str, Checkpoint]:
    """Return the kind of curve whose control points a file holds, and the file as read.

    Raises UsageError for a net that is no control point, and for control points between other nets.
    """
    checkpoint = read_checkpoint(path)
    told = checkpoint.training.get("curve")
    if checkpoint.points is None or not isinstance(told, dict):
        raise UsageError(f"{path} is a net and holds no control points; name the .pt that landscape connect wrote")
    own = told.get("ends_sha256")
    if own == ends_sha256[::-1]:
        raise UsageError(f"{path} leads from {names[1]} to {names[0]}; give the nets in that order")
    if own != ends_sha256:
        between = " and ".join(map(str, told.get("ends", ["two nets"])))
        raise UsageError(
            f"{path} holds control points between {between}, and {names[0]} and {names[1]} were given; "
            "give the nets that it was trained between"
        )
    return str(told.get("kind")), checkpoint


def choose_curve(pair: Pair, path: Path, *, overwrite: bool, report: Report) -> Chosen:
    """Return the curve of a pair: as it starts, from the file that was named, found at `path`, or trained and saved."""
    given = pair.request.control_points
    if given is not None:
        _, checkpoint = read_control_points(given, pair.sha256, (pair.first.source, pair.second.source))
        return _chosen(given, checkpoint)
    if not pair.trains:
        return Chosen(pair.start.points[1:-1])
    group = current()
    there = group.from_first(lambda: _found(pair, path, overwrite=overwrite))
    if there is not None:
        return there
    files = CurveFiles(
        path.with_name(f"{path.stem}.resume.pt"),
        path.with_name(f"{path.stem}.traces.h5"),
        pair.curve_settings,
        pair.first.model_spec,
        command=command_line(),
        overwrite=overwrite,
    )

    def left() -> str:
        saved = f"what is done is in {files.resume}, and the same command goes on from there"
        return saved if files.resume.exists() else "nothing was saved"

    try:
        done = train_curve(
            pair.first.model,
            pair.start,
            pair.training_split,
            pair.recipe,
            loss=pair.first.loss,
            files=files,
            progress=report,
            group=group,
        )
    except KeyboardInterrupt as interruption:
        kind = Interruption if isinstance(interruption, Interruption) else KeyboardInterrupt
        raise kind(f"interrupted; {left()}") from interruption
    except Lost as error:
        raise Lost(f"{error}; {left()}") from error

    def keep() -> Chosen:
        _save(pair, done, path, overwrite)
        files.resume.unlink(missing_ok=True)
        return _chosen(path, read_checkpoint(path))

    return group.from_first(keep)


def _found(pair: Pair, path: Path, *, overwrite: bool) -> Chosen | None:
    """Return the curve that an earlier run has left at `path`; None where one is to be trained."""
    if not path.exists():
        check_writable(path)
        return None
    checkpoint = read_checkpoint(path)
    if checkpoint.points is None:  # somebody's net is not replaced, whatever was asked
        raise LandscapeError(f"{path} is a net, and where the control points would lie; give another --out")
    if overwrite:
        return None
    if checkpoint.training.get("curve", {}).get("settings") != pair.curve_settings:
        raise LandscapeError(f"{path} holds another curve; give --overwrite, or another --out")
    return _chosen(path, checkpoint)


def _save(pair: Pair, done: TrainedCurve, path: Path, overwrite: bool) -> None:
    """Save the control points beside the net of the middle one, so that the file loads as a net wherever one is."""
    point = middle_of(done.curve.interior)
    net = copy.deepcopy(pair.first.model)
    held = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    weights = ParameterSpace(net).named(done.curve.points[point + 1])
    statistics = _statistics(pair)
    with torch.no_grad():
        for name, value in {**weights, **statistics(dict(weights))}.items():
            held[name].copy_(value)
    save_checkpoint(
        path,
        net,
        model_spec=pair.first.model_spec,
        data_spec=pair.first.checkpoint.data or pair.first.data.spec,
        training={
            **done.recipe.to_dict(),
            "epoch": len(done.history),
            "history": done.history,
            "curve": {
                "kind": done.curve.name,
                "interior_points": done.curve.interior,
                "ends": [pair.first.source, pair.second.source],
                "ends_sha256": pair.sha256,
                "net": f"control point {point + 1} of {done.curve.interior}",
                "steps": done.steps,
                "settings": pair.curve_settings,
            },
        },
        points=done.curve.points[1:-1],
        overwrite=overwrite,
    )


def _statistics(pair: Pair) -> Any:
    """Return what gives the BatchNorm buffers of the net at a control point: recalibrated, whatever the scan's are."""
    if pair.batchnorm == "none":
        return lambda weights: {}
    data = pair.training_split
    objective = Objective(pair.first.model, data.images, data.labels, loss=pair.first.loss, seed=pair.request.seed)
    attack = pair.attacks[-1].with_eps(pair.recipe.eps)
    return recalibration(objective, "adv-recal" if pair.recipe.eps else "clean-recal", data, attack).at


def _chosen(path: Path, checkpoint: Checkpoint) -> Chosen:
    assert checkpoint.points is not None
    told = {key: value for key, value in checkpoint.training.items() if key not in ("history", "curve", "final")}
    steps = int(checkpoint.training["curve"].get("steps", 0))
    return Chosen(checkpoint.points, path, int(checkpoint.training.get("epoch", 0)), steps, told)


def curve_of(pair: Pair, chosen: Chosen) -> Curve:
    """Return the curve through the ends of a pair and its control points."""
    ends = pair.start.points
    return type(pair.start)(torch.cat([ends[:1], chosen.points.to(ends), ends[-1:]]))


def hash_of(path: Path | None) -> str | None:
    """Return the hash of a file, None of none."""
    return None if path is None else sha256_of(path)
