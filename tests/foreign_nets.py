"""Nets, data and losses as a user brings them: a file of functions that landscape has never seen, named on --model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Transformer(nn.Module):
    """Map images (N, 1, 8, 8) to scores (N, 10): four patches and a class token through one encoder layer."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(0.1 * torch.randn(1, 5, width))
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.1, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), patches], 1) + self.place
        return self.head(self.encoder(tokens)[:, 0])


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.GroupNorm(2, channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.GroupNorm(2, channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(inner)) + x)


def transformer() -> nn.Module:
    return Transformer()


def resnet() -> nn.Module:
    stem = [nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.GroupNorm(2, 4), nn.ReLU()]
    return nn.Sequential(*stem, Block(4), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 10))


def two_outputs() -> nn.Module:
    class Two(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            scores = super().forward(input)
            return scores, scores  # type: ignore[return-value]  # that is the point

    return Two(nn.Flatten(), nn.Linear(64, 10))


def always_dropping() -> nn.Module:
    class Drop(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            return nn.functional.dropout(super().forward(input), 0.5)

    return Drop(nn.Flatten(), nn.Linear(64, 10))


def regressor() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 2))


def angles(train: bool) -> tuple[Tensor, Tensor]:
    """Return images (24, 1, 8, 8) and two numbers for each of them."""
    generator = torch.Generator().manual_seed(int(train))
    images = torch.rand(24, 1, 8, 8, generator=generator)
    return images, torch.stack([images.mean((1, 2, 3)), images[:, 0, 0, 0]], 1)


def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().add(1e-2).sqrt().sum(1)


def averaged(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean()
