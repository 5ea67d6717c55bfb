"""One split of a data set by its SPEC, or from what a notebook holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import DataError, UsageError
from ..spec import Spec, nearest, parse_spec
from .cifar10 import load_cifar10
from .digits import load_digits
from .download import Progress
from .examples import IN_MEMORY, ImageData
from .folder import data_folder
from .mnist import load_mnist
from .user import from_object, load_from_callable, load_npz

NAMES = ("cifar10", "digits", "mnist")


def load_data(
    spec: str,
    *,
    split: str = "train",
    data_dir: str | Path | None = None,
    progress: Progress | None = None,
    targets: bool = False,
) -> ImageData:
    """Load one split, "train" or "test", of digits, mnist, cifar10, an .npz, or a `file.py:callable`.

    `mnist:train=12000` is MNIST with the first 12,000 training images alone, `mnist:skip=12000,train=1000` with the
    1,000 after them, which the former's nets have not seen; so for digits and cifar10.
    MNIST and CIFAR-10 are looked for under `data_dir`, else $LANDSCAPE_DATA, else the user cache, and downloaded there
    where they are absent, reporting bytes to `progress(stage, done, total)`. Raises UsageError for an unknown name or
    split, DataError for data that are missing, damaged or no images in [0, 1]. With `targets` labels may be numbers.
    """
    if split not in ("train", "test"):
        raise UsageError(f"split = {split!r} is unknown; write train or test")
    parsed = parse_spec(spec)
    if parsed.head in NAMES:
        return _load_named(parsed, split, data_dir, progress)
    if parsed.settings:
        raise UsageError(f"{parsed.head} takes no settings; write {parsed.head} instead of {spec}")
    if parsed.callable is not None or parsed.head.endswith(".py"):
        return load_from_callable(parsed, split, targets=targets)
    if parsed.head.endswith(".npz"):
        return load_npz(parsed, split, targets=targets)
    raise UsageError(f"{spec!r} is no data set, no .npz and no file.py:callable; {nearest(parsed.head, NAMES)}")


def _load_named(spec: Spec, split: str, data_dir: str | Path | None, progress: Progress | None) -> ImageData:
    count, first = spec.settings.get("train"), spec.settings.get("skip", "0")
    known = all(key in ("train", "skip") and value.isdecimal() for key, value in spec.settings.items())
    if spec.callable is not None or not known:
        raise UsageError(f"{spec} is no data set; write {spec.head}, or {spec.head}:train=1000 for the first 1,000")
    if spec.head == "digits":
        data = load_digits(split)
    elif spec.head == "mnist":
        data = load_mnist(split, data_folder(data_dir), progress=progress)
    else:
        data = load_cifar10(split, data_folder(data_dir), progress=progress)
    if not spec.settings:
        return data
    name = f"{spec.head}:{','.join(f'{key}={int(value)}' for key, value in sorted(spec.settings.items()))}"
    if split == "test":  # the test images are the same whatever is trained on
        return replace(data, spec=name)
    start, left = int(first), len(data) - int(first)
    n = left if count is None else int(count)
    if not 1 <= n <= left:
        raise UsageError(f"{spec} cannot be met: {spec.head} has {len(data)} training images; write train=1 to that")
    return replace(data, images=data.images[start : start + n], labels=data.labels[start : start + n], spec=name)


def as_data(obj: Any, *, split: str = "train", classes: int | None = None, targets: bool = False) -> ImageData:
    """Return what a notebook holds as ImageData: (images, labels), a Dataset, a DataLoader, a SPEC, or an ImageData.

    `classes` is the number of classes where the labels do not show it. A shuffling DataLoader gives its examples in
    the order of that one pass. Raises DataError unless they are images in [0, 1] with integer labels; with `targets`
    labels may be numbers (N,) or (N, D), of no classes.
    """
    if isinstance(obj, ImageData):
        if obj.labels.is_floating_point() and not targets:
            raise DataError(
                f"{obj.spec} has numbers for labels, and the cross-entropy wants classes; give another loss"
            )
        return obj
    if isinstance(obj, str):
        return load_data(obj, split=split, targets=targets)
    return from_object(obj, spec=IN_MEMORY, split=split, classes=classes, targets=targets)
