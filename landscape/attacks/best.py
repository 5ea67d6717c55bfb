"""The best found so far: of all the images tried for each example, the one of the highest loss."""

from __future__ import annotations

import torch
from torch import Tensor

from ..borrow import Network
from ..losses import Loss, cross_entropy, per_example


class Best:
    """The image of the highest loss for each of N examples: `images` (N, ...), `losses` (N,), -inf before any offer."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.losses = torch.full(labels.shape[:1], -torch.inf, dtype=images.dtype, device=images.device)

    def offer(self, images: Tensor, outputs: Tensor, losses: Tensor) -> None:
        """Keep those of `images` (N, ...) whose losses (N,) are higher than what is kept."""
        # A loss that is not a number beats nothing and loses to any number; the first image is taken whatever its loss.
        gain = (losses > self.losses) | ~(self.losses > -torch.inf)
        shape = (-1, *[1] * (images.dim() - 1))
        self.images = torch.where(gain.view(shape), images, self.images)
        self.losses = torch.where(gain, losses.to(self.losses), self.losses)

    def judge(self, network: Network, images: Tensor, labels: Tensor, *, loss: Loss = cross_entropy) -> None:
        """Run the network on `images` (N, ...), and offer them."""
        with torch.no_grad():
            outputs = network(images)
            self.offer(images, outputs, per_example(loss, outputs, labels))
