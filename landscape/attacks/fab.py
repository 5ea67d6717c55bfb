"""Fast adaptive boundary (Croce and Hein 2020), the package's, from the image itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .reference import NORMS, ReferenceAttack
from .scores import Scores


@dataclass(frozen=True)
class FAB(ReferenceAttack):
    """Fast adaptive boundary, towards each of `targets` classes: the nearest misclassified image that it finds."""

    steps: int = 100
    targets: int = 9
    name: ClassVar[str] = "fab-t"

    def __str__(self) -> str:
        return f"fab-t:steps={self.steps},targets={self.targets}"

    def _fool(self, scores: Scores, images: Tensor, labels: Tensor, seed: int, indices: list[int]) -> Tensor:
        from pyautoattack.fab_pt import FABAttack_PT

        attack = FABAttack_PT(
            lambda x: scores(x.to(images.dtype)).float(),  # the package casts images to float32, and mixes no types
            norm=NORMS[self.ball.norm],
            n_restarts=1,  # the first starts at the image itself, and draws nothing
            n_iter=self.steps,
            eps=self.ball.eps,
            seed=0,
            targeted=True,
            device=images.device,
            n_target_classes=min(self.targets, scores.classes - 1),
        )
        found = images.clone()
        left = torch.arange(len(images), device=images.device)
        for target in range(2, attack.n_target_classes + 2):
            if not len(left):
                break
            attack.target_class = target
            x = images[left]
            tried = attack.attack_single_run(x, labels[left], is_targeted=True).to(found)
            length = (tried - x).flatten(1)
            length = length.abs().amax(1) if self.ball.norm == "linf" else length.norm(dim=1)
            fooled = (scores(tried).argmax(1) != labels[left]) & (length <= self.ball.eps)
            found[left[fooled]] = tried[fooled]
            left = left[~fooled]
        return found
