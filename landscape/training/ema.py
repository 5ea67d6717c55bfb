"""The exponential moving average of a net along its training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """The moving average of a net's weights: after each update, avg <- d avg + (1 - d) w.

    d is `decay`, and less at first, (1 + t) / (10 + t) after t updates, so that the initial weights are soon forgotten.
    The running statistics of BatchNorm are averaged as the weights are: those of the net belong to its last weights
    alone. Counters are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._net = [value.detach() for value in model.state_dict().values()]  # the net's own memory
        self._mean = [value.clone() for value in self._net]

    @torch.no_grad()
    def update(self) -> None:
        """Take the net's present weights into the average."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        pairs = list(zip(self._mean, self._net, strict=True))
        floats = [(mean, value) for mean, value in pairs if value.is_floating_point()]
        torch._foreach_lerp_([mean for mean, _ in floats], [value for _, value in floats], 1 - decay)
        for mean, value in pairs:
            if not value.is_floating_point():
                mean.copy_(value)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the net have the average for its weights; put its own back afterwards, whatever happened."""
        own = [value.clone() for value in self._net]
        try:
            _copy(self._mean, self._net)
            yield
        finally:
            _copy(own, self._net)

    def state(self) -> dict[str, Any]:
        """Return all that a resumed average goes on from."""
        return {"updates": self.updates, "mean": self._mean}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.updates = state["updates"]
        _copy(state["mean"], self._mean)


@torch.no_grad()
def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    for value, place in zip(source, target, strict=True):
        place.copy_(value)
