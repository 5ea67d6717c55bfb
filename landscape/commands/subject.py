"""What a command measures: a checkpoint's net, its data, and the budget that it is measured at."""

from __future__ import annotations

import logging
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ..arguments import check_outputs
from ..checkpoint import Checkpoint, read_checkpoint, rebuild
from ..data import ImageData, load_data
from ..distributed import current
from ..errors import UsageError
from ..losses import NAMED, Loss, cross_entropy, read_loss
from ..models import model_shape
from ..options import choose_device
from ..safe_load import show
from ..spec import parse_spec
from ..terminal import Report
from ..units import format_eps, parse_eps
from .code import code_sha256

_log = logging.getLogger(__name__)
_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True, eq=False)
class Subject:
    """A net on its device in eval mode, its data, and the checkpoint that both come from."""

    model: nn.Module
    model_spec: str
    checkpoint: Checkpoint
    data: ImageData
    source: str  # the checkpoint as it was typed
    loss: Loss = cross_entropy
    loss_spec: str | None = None  # None is the cross-entropy

    @property
    def train_eps(self) -> float:
        """The radius that the net was trained at, in pixel units; NaN where that is unknown."""
        eps = self.checkpoint.training.get("eps")
        return float(eps) if isinstance(eps, int | float) else math.nan

    @property
    def train_norm(self) -> str | None:
        """The norm of the ball that the net was trained in; None where that is unknown."""
        norm = self.checkpoint.training.get("norm")
        return norm if isinstance(norm, str) else None

    @property
    def targets(self) -> bool:
        """Whether labels may be numbers: a loss of the user's own knows what they are."""
        return self.loss_spec is not None

    @property
    def asked(self) -> dict[str, Any]:
        """The settings, of those that are rarely given, that decide the numbers: which net of the file, which loss."""
        key = {} if self.checkpoint.key is None else {"key": self.checkpoint.key}
        if self.loss_spec is None:
            return key
        return {**key, "loss": self.loss_spec, "loss_code_sha256": code_sha256(self.loss_spec)}

    @property
    def told(self) -> dict[str, Any]:
        """The attributes of a result that say the same."""
        found = {"checkpoint_key": self.checkpoint.key, "loss_function": self.loss_spec}
        return {name: value for name, value in found.items() if value is not None}

    def provenance(self) -> dict[str, Any]:
        """Return the attributes of a result that say which net was measured."""
        training = {key: value for key, value in self.checkpoint.training.items() if key != "history"}
        return {
            "checkpoint": self.checkpoint.name,
            "checkpoint_file": self.source,
            "checkpoint_sha256": self.checkpoint.sha256,
            "training": training or None,
            "train_eps": self.train_eps,
            "model": self.model_spec,
            **self.told,
        }


@dataclass(frozen=True, kw_only=True)
class Target:
    """The options of every command that measures a net, as typed; what is None follows from checkpoint and data."""

    model: str | None = None
    key: str | None = None
    data: str | None = None
    data_dir: Path | None = None
    split: str = "train"
    n_examples: int | str | None = None
    eps: str | None = None
    norm: str | None = None
    loss: str | None = None
    seed: int = 0
    device: str = "auto"
    batch_size: int | None = None

    @property
    def words(self) -> list[str]:
        """What was typed of net, data and loss, to be typed again in the next command."""
        named = {"--model": self.model, "--key": self.key, "--data": self.data, "--loss": self.loss}
        return [word for flag, value in named.items() if value is not None for word in (flag, value)]


def load_subject(source: str, target: Target, report: Report, *, try_out: bool = True) -> Subject:
    """Return the net and the data that a checkpoint and the options name; what is left out, the checkpoint says.

    The net is run on an image, and refused where it cannot be measured; `try_out` false leaves that to the caller.
    A callable that a checkpoint names is not run: only what the user types is.
    """
    group = current()
    place = choose_device(target.device, local=group.local, local_world=group.local_world)
    checkpoint = read_checkpoint(source, key=target.key)
    loss_spec = _loss_of(source, checkpoint, target.loss)
    loss = read_loss(loss_spec)
    if notes := checkpoint.told(target.model):
        _log.warning("%s: %s", source, notes)  # what was chosen for the user; -q keeps it back
    data = target.data
    if data is None:
        data = checkpoint.data
        if data is None:
            raise UsageError(f"{source} does not say which data it was trained on; give --data, such as --data mnist")
        if parse_spec(data).callable is not None:
            raise UsageError(
                f"{source} names the code {data} as its data, and a file's word runs no code; "
                f"type --data {shlex.quote(data)}"
            )
    images = load_data(
        data, split=target.split, data_dir=target.data_dir, progress=report, targets=loss_spec is not None
    )
    net, spec = rebuild(checkpoint, model=target.model, input=images.shape, classes=images.classes)
    shape = model_shape(spec)
    if shape is not None and (shape[0] != images.shape or shape[1] < images.classes):
        wanted, came = _words(*shape), _words(images.shape, images.classes)
        raise UsageError(
            f"{source} is a net for {wanted}, and {images.spec} has {came}; give the --data that it was made for"
        )
    net = net.eval().to(place)
    if try_out:
        check_outputs(
            net, images.images, classes=images.classes, loss=loss, labels=images.labels, name=spec, data=images.spec
        )
    if any(isinstance(module, _DROPOUT) and module.p > 0 for module in net.modules()):
        _log.info("%s: its dropout is off: nets are measured as they are used, in eval mode", source)
    return Subject(net, spec, checkpoint, images, source, loss, loss_spec)


def _loss_of(source: str, checkpoint: Checkpoint, typed: str | None) -> str | None:
    """Return the SPEC of the loss: as typed, else as the net was trained; None is the cross-entropy."""
    if typed is not None:
        return None if typed == "cross_entropy" else typed
    trained = checkpoint.training.get("loss")
    if trained is None:
        return None
    if not isinstance(trained, str) or trained not in NAMED:
        raise UsageError(
            f"{source} was trained on the loss {show(trained)}, and a file's word runs no code; "
            f"type --loss {shlex.quote(show(trained))}, or --loss cross_entropy"
        )
    _log.info("%s: loss %s, as it was trained", source, trained)
    return trained


def choose_budget(subject: Subject, eps: str | None, norm: str | None) -> tuple[float, str]:
    """Return the radius in pixel units and the norm that options and checkpoint give; options win."""
    trained = subject.train_norm
    norm = norm or trained or "linf"
    if eps is not None:
        return parse_eps(eps, norm=norm), norm
    if math.isnan(subject.train_eps):
        raise UsageError(
            f"{subject.checkpoint.name} does not say at which eps it was trained; "
            "give --eps, such as --eps 8/255 (or --eps 0)"
        )
    if trained not in (None, norm) and subject.train_eps:
        raise UsageError(
            f"{subject.checkpoint.name} was trained in {trained} (at eps {format_eps(subject.train_eps)}), "
            f"which says nothing of {norm}; give --eps for {norm}"
        )
    return subject.train_eps, norm


def choose_decay(subject: Subject, asked: float | str) -> float:
    """Return the weight decay to measure with; "training" stands for that of the checkpoint."""
    if asked != "training":
        return float(asked)
    trained = subject.checkpoint.training.get("weight_decay")
    if not isinstance(trained, int | float):
        raise UsageError(
            f"{subject.checkpoint.name} does not say with which weight decay it was trained; "
            "give a number, such as --weight-decay 5e-4"
        )
    return float(trained)


def threat_line(
    subject: Subject,
    *,
    eps: float | Sequence[float],
    norm: str,
    n: int,
    attack: str,
    batchnorm: str,
    adversary: str = "frozen at the weights",
) -> str:
    """Return the line that states what is measured: norm, eps (one, or a ladder), split, n, attack, BatchNorm."""
    data = subject.data
    radii = [eps] if isinstance(eps, int | float) else list(eps)
    played = f"attack {attack}, adversary {adversary}" if any(radii) else "no attack"
    known = "" if subject.train_norm is None else f"{subject.train_norm} "
    trained = "" if math.isnan(subject.train_eps) else f" (trained at {known}{format_eps(subject.train_eps)})"
    return (
        f"{subject.checkpoint.name}: {norm} eps {', '.join(map(format_eps, radii))}{trained}, {n:,} of {len(data):,} "
        f"{data.split} examples of {data.spec}, {played}, BatchNorm {batchnorm}"
    )


def _words(shape: tuple[int, int, int], classes: int) -> str:
    return f"{'x'.join(map(str, shape))} images in {classes} classes"
