"""MNIST from its four idx files, gzipped or not, in the folders where torchvision and people keep them."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from ..errors import DataError
from .download import Progress, download
from .examples import ImageData, checked

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# The MD5s that LeCun's page and torchvision publish, of the gzipped files.
_FILES = {
    "train": {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    },
    "test": {
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    },
}
_PLACES = ("MNIST/raw", "raw", "MNIST", "mnist", ".")
_MOST_DEFLATION = 1032  # DEFLATE shrinks no further; a header that claims more is damaged
_AGAIN = "delete it, and it is downloaded again"


def load_mnist(split: str, folder: Path, *, progress: Progress | None = None) -> ImageData:
    """Load one split: images (60000 or 10000, 1, 28, 28) uint8, labels 0..9; what is absent is downloaded.

    `folder` holds MNIST/raw/*-ubyte[.gz], or is that MNIST or raw folder. Raises DataError for a damaged file, and
    where a download fails.
    """
    paths = find_mnist(split, folder)
    if paths is None:
        raw = folder / "MNIST" / "raw"
        try:
            paths = [
                download([mirror + f"{name}.gz" for mirror in _MIRRORS], raw / f"{name}.gz", md5=md5, progress=progress)
                for name, md5 in _FILES[split].items()
            ]
        except DataError as error:
            raise DataError(f"{folder} holds no complete MNIST (MNIST/raw/*-ubyte[.gz]), and {error}") from error
    images, labels = read_idx(paths[0], ndim=3), read_idx(paths[1], ndim=1)
    return checked(images, labels, classes=10, spec="mnist", split=split)


def find_mnist(split: str, folder: Path) -> list[Path] | None:
    """Return the paths of a split's images and labels where both lie in one place under `folder`, else None."""
    for place in _PLACES:
        choices = [[folder / place / name, folder / place / f"{name}.gz"] for name in _FILES[split]]
        found = [next((path for path in pair if path.is_file()), None) for pair in choices]
        if all(found):
            return [path for path in found if path is not None]
    return None


def read_idx(path: Path, *, ndim: int) -> np.ndarray:
    """Read an idx file of uint8, gzipped where its name ends in .gz, as an array of `ndim` dimensions.

    Raises DataError where the header is not of that form, or promises more or less than the file holds.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            header = file.read(4 + 4 * ndim)
            if len(header) < 4 + 4 * ndim or header[:4] != bytes((0, 0, 8, ndim)):
                raise DataError(f"{path} is no idx file of {ndim}-dimensional bytes; {_AGAIN}")
            shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
            size = math.prod(shape)
            if size > _MOST_DEFLATION * path.stat().st_size:
                raise DataError(f"{path} is damaged: its header promises {size} bytes; {_AGAIN}")
            values = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error or type(error).__name__}); {_AGAIN}") from error
    if len(values) != size:
        relation = "more" if len(values) > size else f"only {len(values)}"
        raise DataError(f"{path} is damaged: its header promises {size} bytes, it holds {relation}; {_AGAIN}")
    return np.frombuffer(values, np.uint8).reshape(shape)
