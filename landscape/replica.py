"""A copy of a net that is walked over weight space: its weights are written in place, and attacks take its twin."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from .attacks.twin import REFUSALS, Twin
from .borrow import Network, evaluating, full_precision
from .objective import Objective


class Replica:
    """The net of an objective as a function of images, at any weights: `at` writes them into a copy of its own.

    What answers is the copy's twin: it takes no gradient, BatchNorm is folded into its convolutions, and on the CPU
    they lie channels-last, which an attack's many passes repay (benchmarks/surface.py, benchmarks/connect.py). Where a
    net cannot be copied, or its copy does not answer on the first images as the net does, the net itself is called at
    the weights instead. The net is left as it was.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._sample = next(objective.batches(4)).images
        self._twin = _copied(objective, self._sample)
        self._held: dict[str, Tensor] = {}
        if self._twin is not None:
            self._held = {**dict(self._twin.model.named_parameters()), **dict(self._twin.model.named_buffers())}

    def at(self, weights: Mapping[str, Tensor]) -> Network:
        """Return the net at these weights and buffers, by name; it may be used until the next call of `at`."""
        if self._twin is None:
            return self._objective.network_of(weights)
        with torch.no_grad():
            for name, value in weights.items():
                self._held[name].copy_(value)
        return self._twin.network(self._sample)


def _copied(objective: Objective, sample: Tensor) -> Twin | None:
    model = objective.model
    if any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules()):
        return None  # a hook sees the net that it was put on, and not a copy
    with evaluating(model), full_precision(), torch.no_grad():
        try:
            expected = objective.network()(sample)
            twin = Twin(copy.deepcopy(model).eval().requires_grad_(requires_grad=False))
            found = twin.network(sample)(sample)  # what it may change is settled here, at the net's own weights
        except REFUSALS:
            return None
    if not isinstance(found, Tensor) or found.shape != expected.shape:
        return None
    room = 1e3 * torch.finfo(objective.dtype).eps * (1 + float(expected.abs().max()))
    # Not <=: a net that gives no numbers at its own weights is not copied either.
    return twin if float((found - expected).abs().max()) <= room else None
