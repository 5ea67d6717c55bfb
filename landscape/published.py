"""What shapes and a file's name tell of weights that say nothing themselves: which net of ours, and how it was trained.

The names are those of the 81 checkpoints that Liu et al. (2020) published: models/TASK/SETTING/RUN/FILE, FILE being
ARCH_WIDTH_epsEPS[_wdDECAY][_maxEPS]_EPOCH.ckpt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import CheckpointError, LandscapeError
from .models import build_model
from .units import format_eps

Shape = tuple[int, int, int]
_PUBLISHED = re.compile(
    r"(?P<arch>lenet|resnet|vgg)_(?P<width>\d{1,3})_eps(?P<eps>\d+(?:\.\d+)?)(?:_wd(?P<decay>[\d.]+(?:e-?\d+)?))?"
    r"(?:_max(?P<most>\d+(?:\.\d+)?))?_(?P<epoch>\d{1,4})\.ckpt"
)
_OURS = {"lenet": "lenet", "resnet": "resnet18", "vgg": "vgg16"}
_SCHEDULES = {"const": "constant", "plain": "constant", "linear": "linear", "cosine": "cosine"}
_SIDES = {64: (1, 8, 8), 784: (1, 28, 28), 3072: (3, 32, 32)}  # inputs of a flat net, by their size


@dataclass(frozen=True)
class Architecture:
    """A net of ours by its spec, without its input, and an image shape (C, H, W) that it fits, the usual of many."""

    spec: str
    input: Shape
    words: str


def infer_architecture(weights: Mapping[str, Tensor]) -> tuple[Architecture, dict[str, str]] | None:
    """Return which net of ours has these names and shapes, and how they are to be renamed; None where none has.

    The activation leaves no trace, and is taken to be the published one, ReLU.
    """
    shapes = {name: tuple(value.shape) for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    usual = {f"linear.{part}": f"classifier.{part}" for part in ("weight", "bias")}  # of most ResNets on CIFAR-10
    for renamed, guesses in (({}, (_lenet, _resnet, _vgg, _linear, _mlp)), (usual, (_resnet,))):
        named = {renamed.get(name, name): shape for name, shape in shapes.items()}
        for guess in guesses:
            try:
                found = guess(named)
            except (KeyError, IndexError, LandscapeError):
                continue
            if found is not None and _fits(found, named):
                return found, {old: new for old, new in renamed.items() if old in shapes}
    return None


def claims_of(path: Path) -> tuple[dict[str, Any], str | None]:
    """Return the training that a published name tells of, and its data; ({}, None) for any other name."""
    match = _PUBLISHED.fullmatch(path.name)
    if match is None:
        return {}, None
    mnist = match["arch"] == "lenet"  # no LeNet of theirs was trained on CIFAR-10
    task, setting, run = path.parts[-4:-1] if len(path.parts) > 3 else ("", "", "")
    known = task in ("lenet_mnist", "resnet_cifar10", "vgg_cifar10")
    told: dict[str, Any] = {"eps": _radius(match["eps"]), "norm": "linf", "epoch": int(match["epoch"])}
    told |= {"weight_decay": float(match["decay"])} if match["decay"] else {}
    schedule = _SCHEDULES.get(setting.rpartition("_")[2]) if known else None
    if schedule is not None:
        told["eps_schedule"] = schedule
    if match["most"] and schedule != "constant":  # the files of constant eps carry a max in their name too
        told["eps_max"] = _radius(match["most"])
    if known and run.isdecimal():
        told["run"] = int(run)
    if known and setting.startswith("periodic"):
        told["periodic"] = True
    return told, "mnist" if mnist else "cifar10"


def check_name(path: Path, found: Architecture) -> None:
    """Raise CheckpointError where a published name tells of another net than the one that the weights are of."""
    match = _PUBLISHED.fullmatch(path.name)
    if match is None:
        return
    named = f"{_OURS[match['arch']]} of width {int(match['width'])}"
    if named != found.words:
        raise CheckpointError(
            f"{path} is called as a {named} of Liu et al., and holds the weights of a {found.words}; if they are what "
            "you mean, rename the file: its name would tell of another net's training"
        )


def in_words(claims: Mapping[str, Any]) -> str:
    """Return what a name tells, as it is printed."""
    return ", ".join(f"{word} {_told(word, value)}" for word, value in claims.items())


def _told(word: str, value: Any) -> str:
    if isinstance(value, float):
        return format_eps(value) if word.startswith("eps") else f"{value:g}"
    return str(value)


def _radius(text: str) -> float:
    """Return a radius in pixel units: MNIST's are fractions there, CIFAR-10's are 255ths."""
    value = float(text)
    return value if value < 1 else value / 255


def _fits(found: Architecture, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Say whether the net that was guessed has just these names and shapes."""
    with torch.device("meta"):
        net, _ = build_model(found.spec, input=found.input)
    wanted = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    return {n: s for n, s in wanted.items() if not n.endswith("num_batches_tracked")} == dict(shapes)


def _lenet(shapes: Mapping[str, tuple[int, ...]]) -> Architecture | None:
    if shapes.keys() != {
        f"{layer}.{part}" for layer in ("conv1", "conv2", "fc1", "fc2") for part in ("weight", "bias")
    }:
        return None
    width, channels = shapes["conv1.weight"][0] // 2, shapes["conv1.weight"][1]
    side = math.isqrt(shapes["fc1.weight"][1] // max(4 * width, 1))
    spec = f"lenet:width={width},classes={shapes['fc2.weight'][0]}"
    return Architecture(spec, (channels, 4 * side, 4 * side), f"lenet of width {width}")


def _resnet(shapes: Mapping[str, tuple[int, ...]]) -> Architecture | None:
    if "layer4.1.conv2.weight" not in shapes:
        return None
    stem = shapes["conv1.weight"]
    spec = f"resnet18:width={stem[0] // 4},classes={shapes['classifier.weight'][0]}"
    return Architecture(spec, (stem[1], 32, 32), f"resnet18 of width {stem[0] // 4}")


def _vgg(shapes: Mapping[str, tuple[int, ...]]) -> Architecture | None:
    first = shapes["feature_extractor.0.weight"]
    spec = f"vgg16:width={first[0] // 4},classes={shapes['classifier.weight'][0]}"
    return Architecture(spec, (first[1], 32, 32), f"vgg16 of width {first[0] // 4}")


def _linear(shapes: Mapping[str, tuple[int, ...]]) -> Architecture | None:
    if not shapes.keys() <= {"classifier.weight", "classifier.bias"}:
        return None
    classes, size = shapes["classifier.weight"]
    if size not in _SIDES:
        return None
    bias = str("classifier.bias" in shapes).lower()
    return Architecture(f"linear:bias={bias},classes={classes}", _SIDES[size], "linear")


def _mlp(shapes: Mapping[str, tuple[int, ...]]) -> Architecture | None:
    depth = len(shapes) // 2
    sizes = [shapes[f"fc{number}.weight"] for number in range(1, depth + 1)]
    if depth < 2 or sizes[0][1] not in _SIDES:
        return None
    hidden = "x".join(str(size[0]) for size in sizes[:-1])
    spec = f"mlp:hidden={hidden},classes={sizes[-1][0]}"
    return Architecture(spec, _SIDES[sizes[0][1]], f"mlp of hidden layers {hidden}")
