"""ResNet18 of the paper's CIFAR-10 runs, width-scaled: width 16 is the usual net of 64 channels, the paper's is 8."""

from __future__ import annotations

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, (N, A, H, W) -> (N, B, H/stride, W/stride), added to a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride=stride, bias=False), nn.BatchNorm2d(channels)
            )
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Return the map (N, B, H/stride, W/stride) of a map (N, A, H, W)."""
        inner = self.activation(self.bn1(self.conv1(x)))
        return self.activation(self.bn2(self.conv2(inner)) + self.shortcut(x))


class ResNet18(nn.Module):
    """Map images (N, C, H, W) in [0, 1] to logits (N, K): a stem of 4w channels, then stages of 4w, 8w, 16w and 32w.

    Layer names are the published ones. The last pooling is over the whole map, which on 32x32 images is the published
    4x4 pooling, so that any image size goes.
    """

    published_input = (3, 32, 32)

    def __init__(self, *, width: int, input: tuple[int, int, int], classes: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input[0], 4 * width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4 * width)
        self.layer1 = _stage(4 * width, 4 * width, 1, activation)
        self.layer2 = _stage(4 * width, 8 * width, 2, activation)
        self.layer3 = _stage(8 * width, 16 * width, 2, activation)
        self.layer4 = _stage(16 * width, 32 * width, 2, activation)
        self.classifier = nn.Linear(32 * width, classes)
        self.activation = activation

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of images (N, C, H, W)."""
        x = self.activation(self.bn1(self.conv1(images)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.classifier(x.mean((2, 3)))


def _stage(channels_in: int, channels: int, stride: int, activation: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        BasicBlock(channels_in, channels, stride, activation), BasicBlock(channels, channels, 1, activation)
    )
