"""A user's own examples: an .npz, a callable, arrays in memory, a Dataset or a DataLoader."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ..errors import DataError, LandscapeError, UsageError
from ..spec import Spec, load_callable
from .examples import IN_MEMORY, ImageData, checked
from .validation import as_tensor

# What comes out of NumPy and zipfile when an .npz is damaged, or is something else; the last ones from arrays' headers.
_DAMAGE: tuple[type[Exception], ...] = (
    *(OSError, ValueError, EOFError, KeyError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error),
    *(TypeError, SyntaxError, OverflowError, struct.error, tokenize.TokenError),
)
_SMALL, _MOST_PACKED = 2**26, 64  # bytes that any file may unpack to; the most that a larger one may, byte for byte


def load_npz(spec: Spec, split: str, *, targets: bool = False) -> ImageData:
    """Load `images` and `labels`, or `test_images` and `test_labels`, from an .npz; no object in it is unpickled.

    The classes are counted over both splits, so that both agree. Raises DataError for a file that is missing,
    damaged or without these arrays, UsageError for the test split of a file that has none.
    """
    path = Path(spec.head).expanduser()
    names = ("images", "labels") if split == "train" else ("test_images", "test_labels")
    if not path.is_file():
        raise DataError(f"{path} is not there; name an existing .npz with images and labels")
    try:
        with open(path, "rb") as file:  # ours to close: NumPy leaves it open when the archive is damaged
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise DataError(f"{path} holds a single array; save it with numpy.savez(path, images=..., labels=...)")
            missing = [name for name in names if name not in stored.files]
            if missing and split == "test":
                raise UsageError(
                    f"{path} has no {' and no '.join(missing)}, hence no test split; use --split train, or add them"
                )
            if missing:
                held = ", ".join(stored.files) or "nothing"
                raise DataError(f"{path} has no {' and no '.join(missing)}; it holds {held}")
            assert stored.zip is not None
            _check_sizes(path, stored.zip)
            images, labels = (stored[name] for name in names)
            every = [stored[name] for name in ("labels", "test_labels") if name in stored.files]
    except _DAMAGE as error:
        raise DataError(f"{path} cannot be read as .npz ({_line(error)}); save it again with numpy.savez") from error
    data = checked(images, labels, classes=None, spec=str(spec), split=split, targets=targets)
    if data.labels.is_floating_point():
        return data
    classes = max(int(part.max()) for part in every if part.size and part.dtype.kind in "iu") + 1
    return ImageData(data.images, data.labels, classes, data.spec, data.split)


def _check_sizes(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that unpacks to far more than images do; Deflate packs a thousand bytes into one."""
    entries = archive.infolist()
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise DataError(f"{path} is packed in a way that NumPy does not write; save it again with numpy.savez")
    claimed, packed = sum(entry.file_size for entry in entries), path.stat().st_size
    if claimed > max(_SMALL, _MOST_PACKED * packed):
        raise DataError(f"{path} claims {claimed:,} bytes in a file of {packed:,}; save it again with numpy.savez")


def load_from_callable(spec: Spec, split: str, *, targets: bool = False) -> ImageData:
    """Call the user's function with train=True or False for (images, labels) or a Dataset; runs the user's code."""
    function = load_callable(spec)
    try:
        made = function(train=split == "train")
    except LandscapeError:
        raise
    except Exception as error:
        raise DataError(f"{spec} failed when called with train={split == 'train'}: {_line(error)}") from error
    return from_object(made, spec=str(spec), split=split, targets=targets)


def from_object(obj: Any, *, spec: str, split: str, classes: int | None = None, targets: bool = False) -> ImageData:
    """Return (images, labels), a Dataset or a DataLoader as ImageData, stacked once, in the order in which it comes.

    Raises DataError for items that are not (image, label), for images that differ in shape or are not in [0, 1], and
    for a DataLoader that drops its last batch.
    """
    if isinstance(obj, tuple | list) and len(obj) == 2:
        return checked(*obj, classes=classes, spec=spec, split=split, targets=targets)
    if isinstance(obj, DataLoader):
        images, labels = _from_loader(obj)
        named = getattr(obj.dataset, "classes", None)
    elif isinstance(obj, Dataset):
        images, labels = _from_dataset(obj)
        named = getattr(obj, "classes", None)
    else:
        whose = "the data are" if spec == IN_MEMORY else f"{spec} returns something"
        raise DataError(f"{whose} of type {type(obj).__name__}, wanted (images, labels), a Dataset or a DataLoader")
    if classes is None and isinstance(named, list | tuple):  # torchvision's data sets list the names of their classes
        classes = len(named)
    return checked(images, labels, classes=classes, spec=spec, split=split, targets=targets)


def _from_loader(loader: DataLoader[Any]) -> tuple[Tensor, Tensor]:
    sized = loader.batch_size is not None and not isinstance(loader.dataset, IterableDataset)
    if loader.drop_last and sized:
        lost = len(loader.sampler) % loader.batch_size  # type: ignore[arg-type, operator]
        if lost:
            raise DataError(f"the DataLoader drops its last {lost} examples; make it with drop_last=False")
    # A loader whose batch_size is None gives its items one by one, unless a batch sampler makes its batches.
    single = loader.batch_size is None and loader.batch_sampler is None
    return _stacked(loader, torch.stack if single else torch.cat)


def _from_dataset(dataset: Dataset[Any]) -> tuple[Tensor, Tensor]:
    if isinstance(dataset, IterableDataset):
        return _stacked(dataset, torch.stack)
    if not hasattr(dataset, "__len__"):
        raise DataError(f"{type(dataset).__name__} has no length; give its class a __len__")
    return _stacked((dataset[i] for i in range(len(dataset))), torch.stack)


def _stacked(items: Iterable[Any], join: Callable[[list[Tensor]], Tensor]) -> tuple[Tensor, Tensor]:
    """Collect (image, label) items, or batches of them, and join them once."""
    images, labels = [], []
    with torch.random.fork_rng(devices=[]):  # making a DataLoader's iterator draws from torch's global generator
        for item in items:
            if not isinstance(item, tuple | list) or len(item) != 2:
                got = (
                    f"has {len(item)} parts" if isinstance(item, tuple | list) else f"is of type {type(item).__name__}"
                )
                raise DataError(f"an item of the data {got}, wanted (image, label)")
            images.append(as_tensor(item[0], "images"))  # PIL images (torchvision without a transform) are arrays too
            labels.append(as_tensor(item[1], "labels"))
    if not images:
        raise DataError("the data are empty; wanted at least one (image, label)")
    for name, parts in (("images", images), ("labels", labels)):
        # Batches may differ in their first dimension: the last one is often ragged.
        if len({(part.ndim, part.shape[1:] if join is torch.cat else part.shape) for part in parts}) > 1:
            raise DataError(f"{name} differ in shape among themselves; wanted all of one shape")
    return join(images), join(labels)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
