"""LeNet of the paper's MNIST runs, for images of any size from 4x4 up."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UsageError


class LeNet(nn.Module):
    """Map images (N, C, H, W) in [0, 1] to logits (N, K) by two 5x5 convolutions and two affine layers.

    Channels are 2w and 4w, the hidden layer has 64w units; on 1x28x28 images this is the published MNIST net, with its
    layer names. Raises UsageError for images that two poolings would leave empty.
    """

    published_input = (1, 28, 28)

    def __init__(self, *, width: int, input: tuple[int, int, int], classes: int, activation: nn.Module) -> None:
        super().__init__()
        channels, height, across = input
        if min(height, across) < 4:
            raise UsageError(f"lenet pools twice and needs images of 4x4 or more, got {height}x{across}; try mlp")
        self.conv1 = nn.Conv2d(channels, 2 * width, 5, padding=2)
        self.conv2 = nn.Conv2d(2 * width, 4 * width, 5, padding=2)
        self.fc1 = nn.Linear(4 * width * (height // 4) * (across // 4), 64 * width)
        self.fc2 = nn.Linear(64 * width, classes)
        self.activation = activation

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of images (N, C, H, W)."""
        x = functional.max_pool2d(self.activation(self.conv1(images)), 2)
        x = functional.max_pool2d(self.activation(self.conv2(x)), 2)
        x = self.activation(self.fc1(torch.flatten(x, 1)))
        return self.fc2(x)
