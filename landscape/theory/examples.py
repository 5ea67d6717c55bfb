"""What the linear theory works on: examples as rows, labels as class numbers, and the box that each may move in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DataError, UsageError
from ..units import check_eps


def as_examples(inputs: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (N, D) float64 and labels (N,) renumbered 0, 1, ... in their order.

    `inputs` (N, ...) are flattened. Raises DataError where there are none, where they are not finite, differ in number
    from the labels, or are of one class only.
    """
    rows = np.asarray(inputs, float)
    names, numbers = np.unique(np.asarray(labels), return_inverse=True)
    if rows.size == 0 or rows.ndim < 2:
        raise DataError(
            f"the inputs have shape {rows.shape} and hold no example; wanted (N, D), one or more of each class"
        )
    if numbers.shape != rows.shape[:1]:
        raise DataError(f"the labels have shape {numbers.shape}, the inputs {rows.shape}; wanted one label per input")
    if not np.isfinite(rows).all():
        raise DataError("the inputs are not all finite; wanted pixels in [0, 1]")
    if len(names) < 2:
        raise DataError(f"all {len(rows)} examples are of class {names[0]}; wanted two classes or more")
    return rows.reshape(len(rows), -1), numbers


def as_two_classes(inputs: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (N, D) float64 and signs (N,): -1 for the first class, +1 for the second.

    Raises DataError as `as_examples` does, and for more than two classes.
    """
    rows, numbers = as_examples(inputs, labels)
    if (classes := int(numbers.max()) + 1) != 2:
        raise DataError(f"the examples are of {classes} classes; wanted two: beyond, the worst case has no closed form")
    return rows, 2.0 * numbers - 1.0


def reach(rows: np.ndarray, eps: float, *, box: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return how low and how high the adversary can bring each pixel (N, D) within eps, and within [0, 1] if `box`.

    Raises UsageError for an eps that is no radius, and with `box` for one beyond [0, 1] and for inputs outside it.
    """
    check_eps(eps, norm="linf" if box else "l2")  # a radius beyond 1 means something only where there is no box
    if not box:
        return rows - eps, rows + eps
    if rows.min() < 0 or rows.max() > 1:
        raise UsageError(
            f"the inputs run from {rows.min():g} to {rows.max():g}; with the box they have to lie in [0, 1]"
        )
    return np.maximum(rows - eps, 0.0), np.minimum(rows + eps, 1.0)
