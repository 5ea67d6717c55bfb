"""The 1,797 UCI handwritten digits of 8 x 8 pixels, which ship with the package (attribution: digits.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .examples import ImageData, checked

_FILE = Path(__file__).with_name("digits.npz")
_TRAIN = 1437  # split once for all: the first 1,437 train, the last 360 test


def load_digits(split: str) -> ImageData:
    """Load one split: images (1437 or 360, 1, 8, 8) float32, k/16 for the published k in 0..16; labels 0..9."""
    part = slice(None, _TRAIN) if split == "train" else slice(_TRAIN, None)
    with np.load(_FILE, allow_pickle=False) as stored:
        images, labels = stored["images"][part], stored["labels"][part]
    return checked(images.astype(np.float32) / 16, labels, classes=10, spec="digits", split=split)
