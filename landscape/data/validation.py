"""The door that all examples pass: images (N, C, H, W) in [0, 1] or uint8, labels (N,) of matching length."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError

_WANTED = "uint8 in 0..255 or floats in [0, 1]"


def image_tensor(images: Any, *, name: str = "images") -> Tensor:
    """Return images (N, C, H, W), uint8 or float32 in [0, 1], on the CPU; shares memory with `images` where it can.

    `images` is an array or tensor (N, H, W), (N, C, H, W) or (N, H, W, C). It is read as (N, H, W, C) where the last
    dimension is 1 or 3 and the second is neither; in every other case as (N, C, H, W). Nothing is rescaled. Raises
    DataError for another shape or type, for NaN, and for floats outside [0, 1].
    """
    tensor = as_tensor(images, name)
    shape = tuple(tensor.shape)
    if tensor.ndim == 3:
        tensor = tensor.unsqueeze(1)
    elif tensor.ndim == 4 and shape[3] in (1, 3) and shape[1] not in (1, 3):
        tensor = tensor.permute(0, 3, 1, 2)
    elif tensor.ndim != 4:
        raise DataError(f"{name} have shape {shape}, wanted (N, H, W), (N, C, H, W) or (N, H, W, C)")
    if tensor.numel() == 0:
        raise DataError(f"{name} have shape {shape} and hold no pixel; wanted at least one image")
    if tensor.dtype != torch.uint8:
        if not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise DataError(f"{name} are {kind}, wanted {_WANTED}; convert them, so that their units are certain")
        tensor = tensor.to(torch.float32)
        _check_range(tensor, name)
    return tensor.contiguous()


def label_tensor(labels: Any, *, count: int, classes: int | None = None, name: str = "labels") -> Tensor:
    """Return labels (N,) int64 on the CPU; raise DataError unless there are `count`, integers, in 0..classes-1."""
    tensor = as_tensor(labels, name)
    if tensor.ndim == 2 and tensor.shape[1] == 1:
        tensor = tensor[:, 0]
    if tensor.ndim != 1:
        raise DataError(
            f"{name} have shape {tuple(tensor.shape)}, wanted (N,): one class per image, not one-hot "
            "(numbers need --loss)"
        )
    if tensor.dtype == torch.bool or tensor.is_floating_point() or tensor.is_complex():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise DataError(
            f"{name} are {kind}, wanted integers: each image's class, from 0; for other numbers give --loss"
        )
    if len(tensor) != count:
        raise DataError(f"{name} number {len(tensor)}, their images {count}; wanted one label per image")
    tensor = tensor.to(torch.int64).contiguous()
    low, high = int(tensor.min()), int(tensor.max())
    if low < 0 or (classes is not None and high >= classes):
        top = "upwards" if classes is None else f"to {classes - 1}"
        raise DataError(f"{name} run from {low} to {high}, wanted classes numbered from 0 {top}")
    return tensor


def target_tensor(labels: Any, *, count: int, name: str = "labels") -> Tensor | None:
    """Return numbers (N,) or (N, D) to be predicted as float32, None where they are whole numbers, hence classes.

    Raises DataError unless there are `count` of them, all finite.
    """
    tensor = as_tensor(labels, name)
    if not tensor.is_floating_point():
        return None
    if tensor.ndim not in (1, 2) or len(tensor) != count or not tensor.numel():
        raise DataError(f"{name} have shape {tuple(tensor.shape)}, wanted ({count},) or ({count}, D): numbers by image")
    if not bool(torch.isfinite(tensor).all()):
        raise DataError(f"{name} hold NaN or infinite numbers; leave those examples out")
    return tensor.to(torch.float32).contiguous()


def _check_range(images: Tensor, name: str) -> None:
    low, high = (float(value) for value in images.aminmax())  # NaN anywhere makes both NaN
    if math.isnan(low):
        raise DataError(f"{name} hold NaN; wanted {_WANTED}")
    if low < 0 or high > 1:
        hint = "divide by 255" if low >= 0 and high <= 255 else "give raw pixels"
        raise DataError(
            f"{name} run from {low:g} to {high:g}, wanted {_WANTED}; {hint}: normalisation belongs inside the model"
        )


def as_tensor(values: Any, name: str) -> Tensor:
    """Return an array, a number or a tensor as a CPU tensor without a graph, uncopied where possible.

    Raises DataError, calling the values `name`, where they are no numbers or of several shapes.
    """
    if isinstance(values, Tensor):
        return values.detach().cpu()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name} differ in shape among themselves; wanted all of one shape") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} have dtype {array.dtype}, wanted numbers")
    if array.dtype.kind in "iu" and array.dtype != np.uint8:
        array = array.astype(np.int64, copy=False)
    elif array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what overflows becomes inf, which the range check names
            array = array.astype(np.float32, copy=False)
    array = np.asarray(array, order="C")  # torch takes no negative strides
    return torch.from_numpy(array if array.flags.writeable else array.copy())
