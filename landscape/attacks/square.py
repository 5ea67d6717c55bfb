"""Square (Andriushchenko et al. 2020), the package's, with the draws that each example would see alone."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import UsageError
from .reference import NORMS, ReferenceAttack, package_seed
from .scores import Scores


@dataclass(frozen=True)
class Square(ReferenceAttack):
    """Random search over squares, by scores alone; `rescale` stretches the schedule of sizes to the queries."""

    queries: int = 5000
    restarts: int = 1
    p: float = 0.8
    rescale: bool = False
    name: ClassVar[str] = "square"

    def __str__(self) -> str:
        return f"square:queries={self.queries},restarts={self.restarts},p={float(self.p)},rescale={self.rescale}"

    def _fool(self, scores: Scores, images: Tensor, labels: Tensor, seed: int, indices: list[int]) -> Tensor:
        found = images.clone()
        left = torch.arange(len(images), device=images.device)
        attack = self._package(scores, images, "margin")
        self._reseed(seed)
        for _ in range(self.restarts):
            if not len(left):
                break
            tried = attack.attack_single_run(images[left], labels[left])[1]
            fooled = scores(tried).argmax(1) != labels[left]
            found[left[fooled]] = tried[fooled].to(found)
            left = left[~fooled]
        return found

    def _candidates(
        self, scores: Scores, images: Tensor, labels: Tensor, seed: int, indices: list[int]
    ) -> Iterator[Tensor]:
        attack = self._package(scores, images, "ce")
        seen = attack.margin_and_loss

        def never_done(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            margin, loss = seen(x, y)
            return torch.ones_like(margin), loss  # a fooled example's loss can still rise

        attack.margin_and_loss = never_done
        self._reseed(seed)
        for _ in range(self.restarts):
            yield attack.attack_single_run(images, labels)[1]

    def _check_images(self, images: Tensor) -> None:
        if images.dim() != 4 or min(images.shape[2:]) < (5 if self.ball.norm == "l2" else 1):
            raise UsageError(
                f"square came to images of shape {tuple(images.shape[1:])}; wanted (channels, height, width)"
                + (", 5x5 or larger in l2" if self.ball.norm == "l2" else "")
            )

    def _package(self, scores: Scores, images: Tensor, loss: str) -> Any:
        from pyautoattack.square import SquareAttack

        attack = SquareAttack(
            scores,
            norm=NORMS[self.ball.norm],
            n_queries=self.queries,
            eps=self.ball.eps,
            p_init=self.p,
            seed=0,  # never used: the generator is seeded below
            loss=loss,
            resc_schedule=self.rescale,
            device=images.device,
        )
        attack.init_hyperparam(images)

        def one_for_all(package: Any, shape: Sequence[int]) -> Tensor:
            # Signs for each of the examples (4 dimensions) are drawn once, as if each were alone.
            signs: Tensor = type(package).random_choice(package, [1, *shape[1:]] if len(shape) == 4 else shape)
            return signs.expand(shape) if len(shape) == 4 else signs

        attack.random_choice = types.MethodType(one_for_all, attack)
        return attack

    def _reseed(self, seed: int) -> None:
        # The package draws from torch's global generator of the CPU alone, which `borrowed_scores` puts back.
        torch.default_generator.manual_seed(package_seed(seed, self.name))
