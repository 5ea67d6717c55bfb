"""What each mini-batch was like, kept on the device and fetched now and then: no batch waits for its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..losses import Loss, cross_entropy, per_example
from .recipe import Recipe

if TYPE_CHECKING:
    from .extras import Extras

# A row is fetched from the device once so many have come together.
ROWS_BETWEEN_FETCHES = 50
# The second backward pass of a row with half-batches may take this share of the arithmetic of the rows between two.
_HALVES_SHARE = 0.015

_MEASURED = ("loss", "error_rate", "gradient_norm", "gradient_norm_sq_unbiased", "distance_from_init")
_KNOWN = ("step", "epoch", "learning_rate", "eps")


class Recorder:
    """Records, for every `every`-th mini-batch, what `landscape.results` calls a row of `traces`.

    A row is of the weights before their update: loss (nats) and error (fraction) of the batch as it was met, the norm
    of the loss's gradient, the distance of the weights from where they began. At every `halves_every`-th row the
    gradients g_A and g_B of the batch's two halves are told apart: their inner product is an unbiased estimate of
    ||grad L_eps||^2, which the square of the norm is not. g_A costs one backward pass more, through the graph that is
    there anyway; g_B is what is left of the whole gradient, which is the one that training would have had.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        steps_per_epoch: int,
        every: int = 1,
        halves_every: int = 1,
        extras: Extras | None = None,
        loss: Loss = cross_entropy,
    ) -> None:
        self.loss = loss
        self.every, self.halves_every, self.extras = every, halves_every, extras
        self._steps_per_epoch = steps_per_epoch
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._start = [parameter.detach().clone() for parameter in self._parameters]
        self._waiting: list[tuple[Tensor, ...]] = []  # rows on the device
        self._told: list[tuple[float, ...]] = []  # of the rows that wait: what the host knows without asking
        self._blocks: list[np.ndarray] = []

    def wants(self, step: int) -> bool:
        """Say whether the batch of a step gets a row."""
        return step % self.every == 0

    def first_half(
        self, step: int, logits: Tensor, labels: Tensor, *, start: int = 0, count: int | None = None
    ) -> list[Tensor] | None:
        """Return the gradient of the first half of a batch where its row has half-batches; the graph stays whole.

        Of the share of a batch of `count` that begins at its example `start`: the sum over shares is the gradient. A
        share behind the half has nothing to add, and goes through the graph with the others all the same.
        """
        half = (len(labels) if count is None else count) // 2
        if half == 0 or step % (self.every * self.halves_every) != 0:
            return None
        mine = min(max(half - start, 0), len(labels))
        loss = mean_share(logits[:mine], labels[:mine], half, self.loss)
        return list(torch.autograd.grad(loss, self._parameters, retain_graph=True, materialize_grads=True))

    @torch.no_grad()
    def record(
        self, step: int, *, loss: Tensor, wrong: Tensor, count: int, eps: float, lr: float, half: list[Tensor] | None
    ) -> None:
        """Take the row of a batch of `count` examples, once its gradients are there and before they are used."""
        gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in self._parameters
        ]
        product = torch.full_like(loss, math.nan)
        if half is not None:
            first, whole = _flat(half), _flat(gradients)
            size = count // 2
            product = first @ ((count * whole - size * first) / (count - size))
        distance = _norm(torch._foreach_sub([parameter.detach() for parameter in self._parameters], self._start))
        self._waiting.append((loss, wrong, _norm(gradients), product, distance))
        self._told.append((step, step / self._steps_per_epoch, lr, eps, count))
        if len(self._told) == ROWS_BETWEEN_FETCHES:
            self.fetch()

    def fetch(self) -> None:
        """Fetch the rows that wait on the device."""
        if self._told:
            columns = [torch.stack(column).double() for column in zip(*self._waiting, strict=True)]
            measured, told = torch.stack(columns, dim=1).cpu().numpy(), np.array(self._told)
            measured[:, 1] /= told[:, -1]
            self._blocks.append(np.concatenate([told[:, :-1], measured], axis=1))
            self._waiting, self._told = [], []

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the rows so far by the names of their columns, each (T,)."""
        table = self._table()
        arrays = {name: table[:, column] for column, name in enumerate((*_KNOWN, *_MEASURED))}
        arrays["step"] = steps = arrays["step"].astype(np.int64)
        return arrays if self.extras is None else {**arrays, **self.extras.arrays(steps)}

    def extras_of(self, step: int) -> Extras | None:
        """Return what the row of a step has besides."""
        return self.extras if self.extras is not None and self.extras.wants(step // self.every) else None

    def state(self) -> dict[str, Any]:
        """Return all that a resumed recorder goes on from, as tensors."""
        extras = [] if self.extras is None else self.extras.state()
        return {"rows": torch.from_numpy(self._table()), "start": self._start, "extras": extras}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._blocks, self._waiting, self._told = [state["rows"].numpy()], [], []
        for mine, saved in zip(self._start, state["start"], strict=True):
            mine.copy_(saved)
        if self.extras is not None:
            self.extras.load_state(state["extras"])

    def _table(self) -> np.ndarray:
        self.fetch()
        if not self._blocks:
            return np.empty((0, len(_KNOWN) + len(_MEASURED)))
        self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0]


def mean_share(logits: Tensor, labels: Tensor, count: int, loss: Loss = cross_entropy) -> Tensor:
    """Return what these examples add to the mean loss over `count` of them, in nats where it is the cross-entropy."""
    if loss is not cross_entropy:
        return per_example(loss, logits, labels).sum() / count
    if len(labels) == count:
        return F.cross_entropy(logits, labels)
    return F.cross_entropy(logits, labels, reduction="sum") / count


def cheap_halves(recipe: Recipe) -> int:
    """Return how many rows to let pass between two with half-batches, so that these cost next to nothing.

    Counted in forward passes: a backward pass is two of them, a step of the attack is two (its backward pass stops at
    the input), an update is three.
    """
    attack = recipe.attack_at(recipe.eps)
    per_update = 3 + (2 * attack.steps * attack.restarts if recipe.eps > 0 else 0)
    return math.ceil(2 / (_HALVES_SHARE * per_update))


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(torch._foreach_norm(list(tensors))).norm()


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
