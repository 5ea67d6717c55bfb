"""Images with labels: digits, MNIST, CIFAR-10 and a user's own, as tensors in [0, 1] or uint8."""

from .augmentation import random_crop_flip
from .examples import Examples, ImageData, select, to_unit
from .loading import as_data, load_data

__all__ = ["Examples", "ImageData", "as_data", "load_data", "random_crop_flip", "select", "to_unit"]
