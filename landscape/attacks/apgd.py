"""Auto-PGD (Croce and Hein 2020), the package's, with the starts that each example would have alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from ..spec import nearest
from .reference import NORMS, ReferenceAttack, package_seed
from .scores import Scores

LOSSES = ("ce", "dlr", "dlr-targeted")

# The package logs what our own checks say in one sentence.
_silent = logging.getLogger("landscape.attacks.pyautoattack")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


@dataclass(frozen=True)
class APGD(ReferenceAttack):
    """Auto-PGD on the cross-entropy ("ce"), on the DLR loss ("dlr"), or on DLR towards each of `targets` classes."""

    loss: str = "ce"
    steps: int = 100
    restarts: int = 1
    rho: float = 0.75
    targets: int = 9  # at most; never more than the other classes

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in LOSSES:
            raise UsageError(f"loss = {self.loss!r} in apgd; {nearest(self.loss, LOSSES)}")

    def __str__(self) -> str:
        targets = f",targets={self.targets}" if self.loss == "dlr-targeted" else ""
        return f"{self.name}:steps={self.steps},restarts={self.restarts},rho={float(self.rho)}{targets}"

    @property
    def name(self) -> str:  # type: ignore[override]  # a loss makes another attack
        """The attack's name in commands."""
        return {"ce": "apgd-ce", "dlr": "apgd-dlr", "dlr-targeted": "apgd-t"}[self.loss]

    @property
    def least_classes(self) -> int:  # type: ignore[override]
        """DLR divides by the distance of the first and the third logit; towards a target, of the fourth."""
        return {"ce": 2, "dlr": 3, "dlr-targeted": 4}[self.loss]

    def _fool(self, scores: Scores, images: Tensor, labels: Tensor, seed: int, indices: list[int]) -> Tensor:
        found = images.clone()
        left = torch.arange(len(images), device=images.device)  # those not fooled: a verdict that stands needs no more
        attack, streams = self._package(scores, images), self._streams(seed, indices)
        for target in self._targets(scores):
            for _ in range(self.restarts):
                if not len(left):
                    return found
                x, y = images[left], labels[left]
                _aim(attack, scores, x, target)
                starts = self._starts(attack, x, [streams[i] for i in left.tolist()])
                _, right, _, fooling = attack.attack_single_run(x, y, x_init=starts)
                found[left[~right.bool()]] = fooling[~right.bool()].to(found)
                left = left[right.bool()]
        return found

    def _candidates(
        self, scores: Scores, images: Tensor, labels: Tensor, seed: int, indices: list[int]
    ) -> Iterator[Tensor]:
        attack, streams = self._package(scores, images), self._streams(seed, indices)
        for target in self._targets(scores):
            for _ in range(self.restarts):
                _aim(attack, scores, images, target)
                yield attack.attack_single_run(images, labels, x_init=self._starts(attack, images, streams))[0]

    def _package(self, scores: Scores, images: Tensor) -> Any:
        from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted

        settings = {
            "n_iter": self.steps,
            "norm": NORMS[self.ball.norm],
            "eps": self.ball.eps,
            "rho": self.rho,
            "seed": 0,  # never used: every start is handed in
            "device": images.device,
            "logger": _silent,
        }
        attack = (
            APGDAttack_targeted(scores, **settings)
            if self.loss == "dlr-targeted"
            else APGDAttack(scores, loss=self.loss, **settings)
        )
        attack.init_hyperparam(images)
        return attack

    def _targets(self, scores: Scores) -> Sequence[int]:
        """Return the ranks of the classes to aim at, 2 being the runner-up on the clean image; 0 aims at none."""
        return range(2, min(self.targets, scores.classes - 1) + 2) if self.loss == "dlr-targeted" else (0,)

    def _streams(self, seed: int, indices: list[int]) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(package_seed(seed, self.name, index)) for index in indices]

    def _starts(self, attack: Any, images: Tensor, streams: list[torch.Generator]) -> Tensor:
        # The package's own start, drawn for one image at a time: on the CPU, in float32.
        shape = (1, *images.shape[1:])
        if self.ball.norm == "linf":
            noise = torch.cat([2 * torch.rand(shape, generator=stream) - 1 for stream in streams])
        else:
            noise = torch.cat([torch.randn(shape, generator=stream) for stream in streams])
        return images + self.ball.eps * torch.ones_like(images) * attack.normalize(noise.to(images.device))


def _aim(attack: Any, scores: Scores, images: Tensor, target: int) -> None:
    if target:
        attack.y_target = scores(images).sort(dim=1)[1][:, -target]
