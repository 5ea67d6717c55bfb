"""A multilayer perceptron: the smallest net whose landscape is not convex."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """Map images (N, C, H, W) in [0, 1] to logits (N, K) through hidden layers of the given sizes, fc1 to fcL."""

    def __init__(
        self, *, hidden: tuple[int, ...], input: tuple[int, int, int], classes: int, activation: nn.Module
    ) -> None:
        super().__init__()
        channels, height, across = input
        sizes = (channels * height * across, *hidden, classes)
        self.depth = len(sizes) - 1
        for number, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes), start=1):
            self.add_module(f"fc{number}", nn.Linear(fan_in, fan_out))
        self.activation = activation

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of images (N, C, H, W)."""
        x = torch.flatten(images, 1)
        for number in range(1, self.depth):
            x = self.activation(self.get_submodule(f"fc{number}")(x))
        return self.get_submodule(f"fc{self.depth}")(x)
