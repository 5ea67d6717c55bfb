"""What a result was made from, found again and known by its hash: checkpoints, control points, data."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..arguments import check_model, check_outputs
from ..checkpoint import Checkpoint, read_checkpoint, rebuild
from ..data import ImageData, as_data, load_data
from ..errors import CheckpointError, LandscapeError, ResultError, UsageError
from ..losses import Loss
from ..results import Result
from ..shipped import shipped_names
from ..spec import parse_spec

_SUFFIXES = ("", ".pt", ".safetensors")


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a person names where the file's own words do not lead to it, or may not be followed."""

    checkpoints: Sequence[str | Path] = ()
    model: str | nn.Module | Sequence[nn.Module] | None = None
    data: Any = None
    data_dir: str | Path | None = None
    device: str = "cpu"
    targets: bool = False  # labels may be numbers: the loss is a user's own

    @property
    def nets(self) -> list[nn.Module] | None:
        """The nets themselves, where they were given and not named."""
        if self.model is None or isinstance(self.model, str):
            return None
        return [self.model] if isinstance(self.model, nn.Module) else list(self.model)


class Origin:
    """The sources of one result file, each known by its SHA-256; raises ResultError, in a sentence, for any other."""

    def __init__(self, path: Path, result: Result, given: Given) -> None:
        self.path, self.attrs, self.given = path, result.attrs, given
        self._splits: dict[str, ImageData] = {}
        key = result.attrs.get("checkpoint_key")
        self._key = key if isinstance(key, str) else None

    def checkpoint(self, name: str, sha256: str) -> Checkpoint:
        """Return the checkpoint of this hash: one that was given, else one that the name leads to."""
        others = []
        for place in [*map(str, self.given.checkpoints), *self._places(name)]:
            try:
                found = read_checkpoint(place, key=self._key)
            except (CheckpointError, UsageError):
                if place in map(str, self.given.checkpoints):
                    raise  # what a person has named is there, and can be read
                continue
            if found.sha256 == sha256:
                return found
            others.append(found)
        if others:
            raise ResultError(
                f"{others[0].path} is another checkpoint than the one that {self.path} was made from: its sha256 is "
                f"{others[0].sha256[:12]}..., the file says {sha256[:12]}...; name that one with --checkpoint PATH"
            )
        raise ResultError(
            f"{self.path} was made from {name} (sha256 {sha256[:12]}...), which is not here; "
            "name it with --checkpoint PATH"
        )

    def nets(self, images: ImageData, loss: Loss) -> list[nn.Module]:
        """Return the nets of the file, in eval mode on the device, in the order in which it names them."""
        nets = self.given.nets
        if nets is None:
            specs = _several(self.attrs.get("model"))
            made = self.checkpoints()
            nets = [
                self._built(checkpoint, specs[number if len(specs) == len(made) else 0], images)
                for number, checkpoint in enumerate(made)
            ]
        for net in nets:
            check_model(net)
            net.eval().to(self.given.device)
            check_outputs(net, images.images, classes=int(images.labels.max()) + 1, loss=loss)
        return nets

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints of the file, in its order."""
        hashes = _several(self.attrs.get("checkpoint_sha256"))
        if not hashes:
            raise ResultError(
                f"{self.path} was made from a net in memory, and names no checkpoint; "
                f"in Python: landscape.recheck({str(self.path)!r}, model=net, data=data)"
            )
        names = _several(self.attrs.get("checkpoint_file")) or _several(self.attrs.get("checkpoint"))
        if len(names) != len(hashes):
            raise ResultError(f"{self.path} names {len(names)} checkpoints and {len(hashes)} hashes; it is damaged")
        return [self.checkpoint(name, sha256) for name, sha256 in zip(names, hashes, strict=True)]

    def data(self, split: str | None = None) -> ImageData:
        """Return a split of the data, the file's own by default, which is known by its hash."""
        split = split or str(self.attrs.get("split") or "train")
        if split not in self._splits:
            self._splits[split] = self._load(split)
        found, own = self._splits[split], self.attrs.get("data_sha256")
        if split == self.attrs.get("split") and own is not None and found.sha256 != own:
            raise ResultError(
                f"{self.path} was made on other data than {found.spec}: their sha256 is {found.sha256[:12]}..., the "
                f"file says {str(own)[:12]}...; name those data with --data"
            )
        return found

    def other(self, split: str) -> ImageData | None:
        """Return another split, or None where the data have none."""
        try:
            return self.data(split)
        except UsageError:
            return None

    def _load(self, split: str) -> ImageData:
        given = self.given.data
        if given is not None and not isinstance(given, str):
            return as_data(given, split=split, targets=self.given.targets)
        spec = given or self.attrs.get("data")
        if not isinstance(spec, str) or spec == "in memory":
            raise ResultError(f"{self.path} does not say which data it was made on; name them with --data")
        parsed = parse_spec(spec)
        if given is None and (parsed.callable is not None or parsed.head.endswith(".py")):
            raise ResultError(
                f"{self.path} names the code {spec} as its data, and a file's word runs no code; "
                f"type --data {shlex.quote(spec)}"
            )
        if given is None and parsed.head.endswith(".npz") and not Path(parsed.head).is_file():
            spec = str(next((place for place in self._around(parsed.head) if place.is_file()), spec))
        return load_data(spec, split=split, data_dir=self.given.data_dir, targets=self.given.targets)

    def net_of(self, checkpoint: Checkpoint, images: ImageData) -> nn.Module:
        """Return the net of another checkpoint of the same spec, in eval mode on the device."""
        specs = _several(self.attrs.get("model"))
        return self._built(checkpoint, specs[0], images).eval().to(self.given.device)

    def _built(self, checkpoint: Checkpoint, spec: str, images: ImageData) -> nn.Module:
        model = self.given.model if isinstance(self.given.model, str) else None
        if model is None and (checkpoint.model is None or checkpoint.guess):  # shapes tell no activation
            model = spec
        if model is not None and self.given.model is None and _is_code(model):
            raise ResultError(
                f"{self.path} names the code {model} as its net, and a file's word runs no code; "
                f"type --model {shlex.quote(model)}"
            )
        net, resolved = rebuild(checkpoint, model=model, input=images.shape, classes=images.classes)
        if resolved != spec and not _is_code(resolved) and not _is_code(spec):
            raise ResultError(f"{self.path} was made from the net {spec}, and {checkpoint.path} holds a {resolved}")
        return net

    def _places(self, name: str) -> Iterator[str]:
        if name in shipped_names():
            yield name
        for suffix in _SUFFIXES:
            for place in self._around(name + suffix):
                if place.is_file():
                    yield str(place)

    def _around(self, name: str) -> Iterator[Path]:
        """Yield where a file of this name may lie: here, beside the result, and above it."""
        for folder in (Path(), self.path.parent, self.path.parent.parent):
            yield folder / name
            yield folder / Path(name).name


def control_points(origin: Origin) -> torch.Tensor | None:
    """Return the interior control points (m, P) of a trained curve; None for a curve that was not trained."""
    name, sha256 = origin.attrs.get("control_points"), origin.attrs.get("control_points_sha256")
    if name is None:
        return None
    found = origin.checkpoint(str(name), str(sha256))
    if found.points is None:
        raise ResultError(f"{found.path} holds no control points of a curve, and {origin.path} was made through them")
    return found.points


def read_settings(path: Path, read: Any) -> Any:
    """Return what `read()` makes of a file's own settings; what cannot be meant is a fault of the file."""
    try:
        return read()
    except (UsageError, KeyError, TypeError, ValueError) as error:
        said = error if isinstance(error, LandscapeError) else f"{type(error).__name__}: {error}"
        raise ResultError(
            f"{path} holds settings that no run can have had ({said}); it is damaged or forged"
        ) from error


def _several(value: Any) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(item) for item in value]


def _is_code(spec: str) -> bool:
    try:
        parsed = parse_spec(spec)
    except UsageError:
        return True
    return parsed.callable is not None or parsed.head.endswith(".py")
