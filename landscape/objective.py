"""L_eps(w): the mean loss over fixed examples, each at its adversarial image, as a function of the weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from .attacks import PGD
from .borrow import Network, evaluating, full_precision, with_weights
from .data import to_unit
from .errors import UsageError
from .losses import Loss, cross_entropy, per_example
from .memory import out_of_memory
from .params import ParameterSpace
from .streams import example_streams

if TYPE_CHECKING:
    from .curvature import HessianOperator

_log = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_BATCH = 128


@dataclass(frozen=True)
class Batch:
    """Consecutive examples of an objective: images (B, ...) in [0, 1], labels (B,), their indices in the data set.

    `start` is the place of the first among the objective's examples.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    start: int = 0


class Objective:
    """The mean over n fixed examples of the loss in nats, at adversarial images where an `attack` is given.

    With an attack, each value and gradient attacks anew at its own w (Danskin: the gradient at the maximiser is the
    gradient of the maximum); `freeze` fixes the adversarial images instead. The net runs in eval mode; its mode, its
    weights, its buffers and its gradients stay as they are. Points w (P,) are those of `space`; None is the net's own.
    With `params`, a pattern of names, only the parameters that match move (`params.ParameterSpace`). A `weight_decay`
    adds half of it times the squared norm of all trainable weights to the mean, as an optimiser's L2 term does.
    Random starts depend on (seed, index in the data set, restart) alone.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        attack: PGD | None = None,
        loss: Loss = cross_entropy,
        batch_size: int | None = None,
        seed: int = 0,
        indices: Tensor | None = None,
        params: str | None = None,
        weight_decay: float = 0.0,
    ) -> None:
        if len(images) != len(labels) or not len(images):
            raise UsageError(
                f"{len(images)} images and {len(labels)} labels came; wanted as many of each, at least one"
            )
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch_size = {batch_size}; wanted 1 or more")
        if not 0 <= weight_decay < math.inf:
            raise UsageError(f"weight_decay = {weight_decay}; wanted 0 or more, such as 5e-4")
        self.model = model
        self.weight_decay = weight_decay
        self.params = params
        self.space = ParameterSpace(model, params)
        first = next(p for p in model.parameters() if p.requires_grad)
        self.device, self.dtype = first.device, first.dtype
        self.images = images.to(self.device)
        self.labels = labels.to(self.device)
        self.indices = torch.arange(len(images)) if indices is None else indices.cpu()
        self.attack = attack if attack is not None and attack.ball.eps > 0 else None
        self.loss = loss
        self.batch_size = batch_size or DEFAULT_BATCH
        self.seed = seed

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.labels)

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters, P."""
        return self.space.n_parameters

    @property
    def w0(self) -> Tensor:
        """The net's own weights (P,)."""
        return self.space.point(self.model)

    def batches(self, size: int | None = None) -> Iterator[Batch]:
        """Yield the examples in their order, `size` at a time, the last batch as short as it comes."""
        size = size or self.batch_size
        for start in range(0, self.n, size):
            yield self._batch(start, size)

    def _batch(self, start: int, size: int) -> Batch:
        part = slice(start, start + size)
        return Batch(to_unit(self.images[part], dtype=self.dtype), self.labels[part], self.indices[part], start)

    def over_batches(self, work: Callable[[Batch], T], *, batches_at_once: int = 1) -> Iterator[T]:
        """Yield `work(batch)` for the examples in their order; where memory runs out, half as many are taken at a time.

        `batches_at_once` is for work that takes less memory than a backward pass.
        """
        start = 0
        while start < self.n:
            size = batches_at_once * self.batch_size
            try:
                done = work(self._batch(start, size))
            except Exception as error:
                if not out_of_memory(error) or self.batch_size == 1:
                    raise
            else:
                start += size
                yield done
                continue
            # Outside the handler: the traceback would hold the tensors that must go.
            self.batch_size //= 2
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            _log.info("memory ran out; going on with %d examples at a time", self.batch_size)

    def network(self, w: Tensor | None = None) -> Network:
        """Return the net at w (P,) as a function of images; call it under `evaluating(model)`."""
        return self.network_of(self.space.named(self.w0 if w is None else w.to(self.device, self.dtype)))

    def network_of(self, weights: Mapping[str, Tensor]) -> Network:
        """Return the net with the weights of `space` as named, the others held, as a function of images."""
        return with_weights(self.model, {**self.space.held(self.model), **weights})

    def adversarial(self, batch: Batch, network: Network) -> Batch:
        """Return the batch with its images attacked at `network`; unchanged where there is no attack."""
        if self.attack is None:
            return batch

        def noise(restart: int) -> list[np.random.Generator]:
            return example_streams(self.seed, f"attack/restart{restart}", batch.indices.tolist())

        images = self.attack(network, batch.images, batch.labels, noise=noise, loss=self.loss)
        return replace(batch, images=images)

    def outputs(self, w: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the net's outputs (n, ...) and the losses (n,) at w (P,), in the order of the examples."""
        network = self.network(w)

        def run(batch: Batch) -> tuple[Tensor, Tensor]:
            batch = self.adversarial(batch, network)
            with torch.no_grad():
                outputs = network(batch.images)
                return outputs, per_example(self.loss, outputs, batch.labels)

        with evaluating(self.model), full_precision():
            outputs, losses = zip(*self.over_batches(run), strict=True)
        return torch.cat(outputs), torch.cat(losses)

    def losses(self, w: Tensor | None = None) -> Tensor:
        """Return the loss of each example (n,) at w (P,), in nats, without the weight decay's share."""
        return self.outputs(w)[1]

    def value(self, w: Tensor | None = None) -> float:
        """Return the mean loss at w (P,), in nats, the weight decay's share included."""
        return float(self.losses(w).double().mean()) + self.penalty(w)

    def penalty(self, w: Tensor | None = None) -> float:
        """Return the weight decay's share of the loss at w (P,): half of it times ||w||^2, held weights included."""
        if not self.weight_decay:
            return 0.0
        moving = self.space.named(self.w0 if w is None else w)
        weights = [moving.get(name, value) for name, value in self.model.named_parameters() if value.requires_grad]
        return self.weight_decay / 2 * sum(float(weight.detach().double().square().sum()) for weight in weights)

    def gradient(self, w: Tensor | None = None) -> Tensor:
        """Return the gradient (P,) of the mean loss at w (P,), the adversary held where it is at w (Danskin)."""
        w = self.w0 if w is None else w.to(self.device, self.dtype)
        total = self.weight_decay * w

        def share(batch: Batch) -> Tensor:
            _, gradients = self.first_backward(w, self.adversarial(batch, self.network(w)), create_graph=False)
            return torch.cat([gradient.reshape(-1) for gradient in gradients])

        with evaluating(self.model), full_precision():
            for gradient in self.over_batches(share):
                total += gradient
        return total

    def first_backward(
        self, w: Tensor, batch: Batch, *, create_graph: bool
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the parameters at w (P,) as leaves, and this batch's share of the mean's gradient in their shapes.

        With `create_graph` the gradients can be differentiated once more: the graph that Hessian products run through.
        Call it under `evaluating(model)`.
        """
        leaves = tuple(piece.detach().requires_grad_() for piece in self.space.split(w))
        network = self.network_of(dict(zip(self.space.names, leaves, strict=True)))
        with torch.enable_grad():
            total = per_example(self.loss, network(batch.images), batch.labels).sum() / self.n
            gradients = torch.autograd.grad(total, leaves, create_graph=create_graph, materialize_grads=True)
        return leaves, gradients

    def product(self, w: Tensor, v: Tensor) -> Tensor:
        """Return the product Hv (P,) or (P, m) of the Hessian at w (P,) with v (P,) or (P, m), the adversary held at w.

        `hessian` keeps what several products at one w share.
        """
        return (self if self.attack is None else self.freeze(w)).hessian(w, keep_graphs=False) @ v

    def hessian(
        self, w: Tensor | None = None, *, batch_size: int | None = None, keep_graphs: bool = True
    ) -> HessianOperator:
        """Return the Hessian (P, P) at w (P,) of a frozen objective, as a matrix that is multiplied."""
        # One floor, two files that know each other: the operator works on objectives.
        from .curvature import HessianOperator

        return HessianOperator(self, w, batch_size=batch_size, keep_graphs=keep_graphs)

    def by_example(self, function: Callable[..., tuple[Tensor, ...]], *arguments: Any) -> tuple[Tensor, ...]:
        """Return what `function(objective, *arguments)` finds of each example, each (n, ...), in their order."""
        return function(self, *arguments)

    def unattacked(self) -> Objective:
        """Return the objective of the same examples without an adversary."""
        return self._over(self.images, self.labels, self.indices)

    def freeze(self, w: Tensor | None = None, *, progress: Callable[[int, int], None] | None = None) -> Objective:
        """Return the objective whose adversarial images are fixed at those of w (P,), or of the net's own weights."""
        if self.attack is None:
            return self
        network = self.network(w)
        found: list[Tensor] = []
        done = 0
        with evaluating(self.model), full_precision():
            for images in self.over_batches(lambda batch: self.adversarial(batch, network).images):
                found.append(images)
                done += len(images)
                if progress is not None:
                    progress(done, self.n)
        return self._over(torch.cat(found), self.labels, self.indices)

    def part(self, places: Tensor) -> Objective:
        """Return the objective over some of the examples, those at `places` (m,), its attack as ever."""
        places = places.to(self.labels.device)
        part = self._over(self.images[places], self.labels[places], self.indices[places.to(self.indices.device)])
        part.attack = self.attack
        return part

    def _over(self, images: Tensor, labels: Tensor, indices: Tensor) -> Objective:
        return Objective(
            self.model,
            images,
            labels,
            loss=self.loss,
            batch_size=self.batch_size,
            seed=self.seed,
            indices=indices,
            params=self.params,
            weight_decay=self.weight_decay,
        )
