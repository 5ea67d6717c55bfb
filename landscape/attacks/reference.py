"""The reference's attacks (Croce and Hein 2020; Andriushchenko et al. 2020) by pyautoattack, one example at a time.

What an example meets depends on (seed, attack, its index in the data set) alone: its verdict is that of the package
called on this example by itself with the seed `package_seed(...)`, whatever batch it comes in, whoever else is in it
and whatever was drawn before. APGD's state is per example, so only its starts need to be drawn one by one. Square draws
one window for a whole batch; here the starting stripes are shared as well, and every example sees what it would alone.
FAB from the image itself draws nothing. Floating-point sums may still depend on the size of the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..borrow import Network
from ..errors import UsageError
from ..losses import Loss, cross_entropy, per_example
from ..spec import nearest
from ..streams import stream_key
from .balls import Ball
from .scores import Scores, Tick, borrowed_scores

NORMS = {"linf": "Linf", "l2": "L2"}


def package_seed(seed: int, name: str, index: int | None = None) -> int:
    """Return the seed under which pyautoattack, called on example `index` alone, does what the attack `name` does here.

    Square's seed is one for all examples: `index` None.
    """
    return stream_key(seed, name if index is None else f"{name}/{index}") >> 1


@dataclass(frozen=True)
class ReferenceAttack(ABC):
    """An attack of the reference in a ball; it returns a misclassified image where it finds one, else the clean one."""

    ball: Ball
    name: ClassVar[str] = ""
    least_classes: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.ball.norm not in NORMS:
            raise UsageError(f"norm {self.ball.norm!r} is none of the reference's; {nearest(self.ball.norm, NORMS)}")
        for setting in ("steps", "restarts", "queries", "targets"):
            value = getattr(self, setting, 1)
            if value < 1:
                raise UsageError(f"{setting} = {value} in {self.name}; wanted 1 or more")

    def with_eps(self, eps: float) -> Self:
        """Return the same attack in a ball of another radius."""
        return replace(self, ball=self.ball.with_eps(eps))

    def __call__(
        self,
        model: nn.Module | Network,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int = 0,
        indices: Sequence[int] | None = None,
        tick: Tick | None = None,
    ) -> Tensor:
        """Return images (N, C, H, W) in the ball: a misclassified one where it was found, else the clean one.

        `indices` (N,) are the examples' in their data set (0, 1, ... by default): they name the random draws. What is
        misclassified already comes back as it is, as in the package. `tick` is called before each forward pass.
        """
        if self.ball.eps == 0:
            return images.clone()
        indices = range(len(images)) if indices is None else indices
        with self._borrowed(model, images, labels, tick) as (scores, clean):
            found = images.clone()
            right = (clean.argmax(1) == labels).nonzero().squeeze(1)
            if len(right):
                streams = [int(indices[i]) for i in right.tolist()]
                found[right] = self._fool(scores, images[right], labels[right], seed, streams)
        return found.detach()

    def strongest(
        self,
        model: nn.Module | Network,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int = 0,
        indices: Sequence[int] | None = None,
        loss: Loss = cross_entropy,
        tick: Tick | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the images (N, C, H, W) of the highest `loss` that the attack ends with, and these losses (N,).

        Every example spends the whole budget, whether it is fooled or not. The clean image is not among the candidates.
        """
        if self.ball.eps == 0:
            with self._borrowed(model, images, labels, tick) as (_, clean):
                return images.clone(), per_example(loss, clean, labels)
        indices = [int(index) for index in (range(len(images)) if indices is None else indices)]
        with self._borrowed(model, images, labels, tick) as (scores, _):
            best = images
            highest = torch.full(labels.shape, -torch.inf, dtype=images.dtype, device=images.device)
            for candidate in self._candidates(scores, images, labels, seed, indices):
                losses = per_example(loss, scores(candidate), labels).to(highest)
                gain = losses > highest
                best = torch.where(gain.view(-1, *[1] * (images.dim() - 1)), candidate, best)
                highest = torch.where(gain, losses, highest)
        return best.detach(), highest

    def _borrowed(self, model: nn.Module | Network, images: Tensor, labels: Tensor, tick: Tick | None) -> Any:
        self._check_images(images)
        return borrowed_scores(model, images, labels, least_classes=self.least_classes, purpose=self.name, tick=tick)

    def _check_images(self, images: Tensor) -> None:
        """Raise UsageError for images of a shape that the attack cannot work on."""
        if images.dim() < 2:
            raise UsageError(f"images of shape {tuple(images.shape)} came; wanted one more dimension, the examples'")

    @abstractmethod
    def _fool(self, scores: Scores, images: Tensor, labels: Tensor, seed: int, indices: list[int]) -> Tensor:
        """Return images that fool where possible, else the clean ones, for examples that are classified rightly."""

    def _candidates(
        self, scores: Scores, images: Tensor, labels: Tensor, seed: int, indices: list[int]
    ) -> Iterator[Tensor]:
        raise UsageError(f"{self.name} seeks the boundary and not the highest loss; use apgd-ce, apgd-dlr or square")
