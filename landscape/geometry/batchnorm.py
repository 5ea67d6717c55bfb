"""Which BatchNorm statistics a net has at weights that it was not trained to: its own, or those of a few batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..attacks import PGD
from ..borrow import evaluating, full_precision
from ..data import ImageData, select
from ..errors import UsageError
from ..objective import Batch, Objective
from ..replica import Replica
from ..spec import nearest

POLICIES = ("frozen", "clean-recal", "adv-recal")
RECALIBRATION = 2048  # examples behind recalibrated statistics, at most
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def batchnorm_policy(model: nn.Module, policy: str = "frozen") -> str:
    """Return the policy as results state it: "none" for a net without BatchNorm statistics; UsageError if unknown."""
    if policy not in POLICIES:
        raise UsageError(f"BatchNorm policy {policy!r} is unknown; {nearest(policy, POLICIES)}")
    return policy if any(isinstance(module, _BatchNorm) for module in model.modules()) else "none"


class Statistics:
    """The BatchNorm statistics of a net at any weights, as buffers by name that stand in for the net's own.

    "frozen": the net's own, whatever the weights. "clean-recal": at these weights, the mean over batches of each
    batch's statistics, as training's running average has them (but every batch counts the same). "adv-recal": the same
    for batches attacked at these weights and clean statistics, since training's are of attacked batches. `examples` is
    the objective whose examples, in its batches, and whose attack these are. The net itself is left as it was.
    """

    def __init__(self, examples: Objective, policy: str = "frozen") -> None:
        self.policy = batchnorm_policy(examples.model, policy)
        self.examples = examples
        if self.recalibrates and examples.n < 2:
            raise UsageError(f"BatchNorm policy {policy} needs two examples or more; give more")
        if self.policy == "adv-recal" and examples.attack is None:
            raise UsageError("BatchNorm policy adv-recal needs an adversary, and eps is 0; give clean-recal")

    @property
    def recalibrates(self) -> bool:
        """Whether the statistics depend on the weights."""
        return self.policy not in ("none", "frozen")

    def at(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the buffers that stand in for the net's own at these weights; none where they are frozen."""
        if not self.recalibrates:
            return {}
        buffers = self._over(weights, (batch.images for batch in self._batches()))
        if self.policy == "clean-recal":
            return buffers
        network = self._replica.at({**weights, **buffers})
        with evaluating(self.examples.model), full_precision():
            attacked = [self.examples.adversarial(batch, network).images for batch in self._batches()]
        return self._over(weights, attacked)

    @cached_property
    def _replica(self) -> Replica:
        return Replica(self.examples)

    def _batches(self) -> Iterator[Batch]:
        # A last batch much smaller than the others would count as much as they do, and one image has no variance.
        size = self.examples.batch_size
        yield from (batch for batch in self.examples.batches() if batch.start == 0 or len(batch.labels) == size)

    def _over(self, weights: Mapping[str, Tensor], batches: Iterable[Tensor]) -> dict[str, Tensor]:
        model = self.examples.model
        own = dict(model.named_buffers())
        buffers = {name: torch.zeros_like(own[name]) for name in statistics_names(model)}
        network = self.examples.network_of({**weights, **buffers})
        with torch.no_grad(), evaluating(model), full_precision(), _averaging(model):
            for images in batches:
                network(images)
        return buffers


def recalibration(objective: Objective, policy: str, data: ImageData | None, attack: PGD) -> Statistics:
    """Return an objective's statistics: of at most 2,048 of its examples, or of `data`, under `attack`."""
    if policy == "frozen":
        return Statistics(objective)
    images, labels, indices = objective.images.cpu(), objective.labels.cpu(), objective.indices
    if data is not None:
        some = select(data, min(RECALIBRATION, len(data)), seed=objective.seed)
        images, labels, indices = some.images, some.labels, some.indices
    examples = Objective(
        objective.model,
        images[:RECALIBRATION],
        labels[:RECALIBRATION],
        attack=attack,
        loss=objective.loss,
        seed=objective.seed,
        indices=indices[:RECALIBRATION],
    )
    return Statistics(examples, policy)


def statistics_names(model: nn.Module) -> list[str]:
    """Return the names of the buffers that hold a net's BatchNorm statistics."""
    return [f"{name}.{kind}".lstrip(".") for name, _ in _layers(model) for kind in _STATISTICS]


def _layers(model: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            yield name, module


@contextlib.contextmanager
def _averaging(model: nn.Module) -> Iterator[None]:
    """Let BatchNorm layers, and them alone, average what they see with equal weights; put their settings back."""
    layers = [layer for _, layer in _layers(model)]
    before = [(layer.training, layer.momentum) for layer in layers]
    try:
        for layer in layers:
            layer.training, layer.momentum = True, None  # None: the cumulative average
        yield
    finally:
        for layer, (training, momentum) in zip(layers, before, strict=True):
            layer.training, layer.momentum = training, momentum
