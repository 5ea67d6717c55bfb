"""A net that is examined, the examples that it is examined on, and what a check says of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ..attacks import PGD
from ..borrow import evaluating, full_precision
from ..data import Examples, ImageData, to_unit
from ..losses import Loss, are_scores, cross_entropy, error_rate, per_example
from ..objective import Objective

OK, LOOK, STOP = "OK", "look", "stop"
SECONDS = 20.0  # that a check which attacks may take, about


@dataclass(frozen=True)
class Finding:
    """What one check found: `verdict` OK, look or stop, in words; `advice` is what to do where it is not OK."""

    check: str
    verdict: str
    found: str
    advice: str = ""


@dataclass(frozen=True, eq=False)
class Patient:
    """A net in eval mode on its device, examples of the data, and what its checkpoint claims of it (`training`)."""

    model: nn.Module
    data: ImageData
    examples: Examples
    attack: PGD | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    other: Callable[[str], ImageData] | None = None  # another split of the same data
    seed: int = 0
    batch_size: int | None = None
    loss: Loss = cross_entropy

    @property
    def counts(self) -> bool:
        """Whether outputs are scores of classes, and something is right or wrong."""
        return are_scores(self.scores, self.labels)

    @cached_property
    def first(self) -> Tensor:
        """The first parameter that moves: its device and dtype are the net's."""
        return next(value for value in self.model.parameters() if value.requires_grad)

    @cached_property
    def images(self) -> Tensor:
        """All the examples' images (n, C, H, W), in [0, 1]."""
        return to_unit(self.examples.images, device=self.first.device, dtype=self.first.dtype)

    @cached_property
    def labels(self) -> Tensor:
        """Their labels (n,)."""
        return self.examples.labels.to(self.first.device)

    def outputs(self, images: Tensor, *, batch: int | None = None) -> Tensor:
        """Return the net's outputs (N, K) for images (N, ...), `batch` at a time."""
        size = batch or self.batch_size or 128
        with evaluating(self.model), full_precision(), torch.no_grad():
            return torch.cat([self.model(images[start : start + size]) for start in range(0, len(images), size)])

    @cached_property
    def scores(self) -> Tensor:
        """The net's outputs (n, K) for the examples as they are."""
        return self.outputs(self.images)

    def judged(self, outputs: Tensor) -> tuple[float, float]:
        """Return mean loss (nats) and error (fraction, NaN of no classes) of outputs (n, ...) for the examples."""
        losses = per_example(self.loss, outputs.double(), self.labels)
        return float(losses.mean()), error_rate(outputs, self.labels)

    def objective(self, count: int, attack: PGD | None = None) -> Objective:
        """Return the objective over the first `count` examples."""
        return Objective(
            self.model,
            self.examples.images[:count],
            self.examples.labels[:count],
            attack=attack,
            loss=self.loss,
            batch_size=self.batch_size,
            seed=self.seed,
            indices=self.examples.indices[:count],
        )

    @cached_property
    def per_pass(self) -> float:
        """Seconds that one example takes forward and backward, as in a step of an attack."""
        count = min(128, len(self.images))
        x = self.images[:count]
        taken = []
        with evaluating(self.model), full_precision():
            for _ in range(3):
                began = time.perf_counter()
                leaf = x.clone().requires_grad_()
                losses = per_example(self.loss, self.model(leaf), self.labels[:count])
                if losses.requires_grad:
                    torch.autograd.grad(losses.sum(), leaf, allow_unused=True)
                settle(x.device)
                taken.append(time.perf_counter() - began)
        return min(taken) / count

    def affordable(self, passes: int, *, least: int = 16, most: int = 100) -> int:
        """Return how many examples can be taken through so many passes forward and backward in SECONDS."""
        count = int(SECONDS / max(passes * self.per_pass, 1e-12))
        return min(len(self.images), max(least, min(most, count)))


def settle(device: torch.device) -> None:
    """Wait for what a device still has to do, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def told(loss: float, error: float) -> str:
    """Write the loss of examples, and their error where there is one."""
    return f"loss {loss:.3g}" if math.isnan(error) else f"error {percent(error)}, loss {loss:.3g}"


def percent(share: float) -> str:
    """Write a share in percent."""
    return "unknown" if math.isnan(share) else f"{100 * share:.2f} %" if 0 < share < 0.1 else f"{100 * share:.1f} %"
