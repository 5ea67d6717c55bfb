"""Examples: one split of a data set, and the fixed subset of it that an analysis works on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError, UsageError
from ..streams import stream
from .validation import image_tensor, label_tensor, target_tensor

IN_MEMORY = "in memory"  # the spec of examples that came as objects, and cannot be loaded again by name


@dataclass(frozen=True, eq=False)
class ImageData:
    """One split of a data set: images (N, C, H, W) uint8 or float32 in [0, 1], labels (N,) int64, on the CPU.

    Of a regression, labels are float32 (N,) or (N, D), and `classes` is 0.
    """

    images: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    classes: int
    spec: str
    split: str

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the bytes of the images, then of the labels (int64, or float32)."""
        digest = hashlib.sha256(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Examples:
    """A fixed subset: images (n, C, H, W) as stored, labels (n,), and their indices (n,) int64 in the split."""

    images: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    indices: Tensor = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)


def checked(
    images: Any, labels: Any, *, classes: int | None, spec: str, split: str, targets: bool = False
) -> ImageData:
    """Return images and labels as ImageData once they have passed validation; `classes` None counts them by label.

    Raises DataError where they are not images in [0, 1] with integer labels of the same number. With `targets` labels
    may be numbers, of no classes.
    """
    whose = "" if spec == IN_MEMORY else f" of {spec}"
    image = image_tensor(images, name=f"images{whose}")
    if targets and (numbers := target_tensor(labels, count=len(image), name=f"labels{whose}")) is not None:
        return ImageData(image, numbers, 0, spec, split)
    label = label_tensor(labels, count=len(image), classes=classes, name=f"labels{whose}")
    return ImageData(image, label, int(label.max()) + 1 if classes is None else classes, spec, split)


def select(data: ImageData, n: int | str | None = None, *, seed: int = 0, cap: int = 2000) -> Examples:
    """Choose n examples of a split by seed: the same for every analysis, sorted by index, and nested for growing n.

    The choice depends on the seed and the size of the split alone. `n` None is `cap` or all, whichever is smaller;
    "all" is all. Raises UsageError unless 1 <= n <= N.
    """
    total = len(data)
    if n is None:
        count = min(cap, total)
    elif isinstance(n, str) and not n.isdecimal():
        if n != "all":
            raise UsageError(f"n-examples = {n!r} is no number; write 1 to {total}, or all")
        count = total
    else:
        count = int(n)
    if not 1 <= count <= total:
        raise UsageError(
            f"n-examples = {count} cannot be met: {data.spec} has {total} in its {data.split} split; "
            f"write 1 to {total}, or all"
        )
    if count == total:
        return Examples(data.images, data.labels, torch.arange(total))
    order = stream(seed, "examples").permutation(total)
    indices = torch.from_numpy(order[:count]).sort().values
    return Examples(data.images[indices], data.labels[indices], indices)


def to_unit(images: Tensor, *, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return images of any shape on `device` as floats in [0, 1]: uint8 is divided by 255, floats pass as they are.

    Raises DataError for images of another type.
    """
    if images.dtype == torch.uint8:
        return images.to(device).to(dtype).div_(255)  # uint8 travels to the device: a quarter of the bytes
    if not images.is_floating_point():
        raise DataError(f"images are {str(images.dtype).removeprefix('torch.')}, wanted uint8, or floats in [0, 1]")
    return images.to(device=device, dtype=dtype)
