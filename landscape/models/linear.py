"""The linear softmax model, whose landscape is known in closed form (paper, section on the linear model)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearSoftmax(nn.Module):
    """Map images (N, C, H, W) in [0, 1] to logits (N, K) by one affine layer; `bias=False` leaves W x alone."""

    def __init__(self, *, bias: bool, input: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, height, across = input
        self.classifier = nn.Linear(channels * height * across, classes, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of images (N, C, H, W)."""
        return self.classifier(torch.flatten(images, 1))
