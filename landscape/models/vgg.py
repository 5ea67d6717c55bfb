"""VGG16 with batch norm of the paper's CIFAR-10 runs, width-scaled: width 16 is the usual net, the paper's is 8."""

from __future__ import annotations

from torch import Tensor, nn

# Channels of each convolution in units of the width; "pool" halves the map.
LAYOUT: tuple[int | str, ...] = (
    *(4, 4, "pool", 8, 8, "pool"),
    *(16, 16, 16, "pool", 32, 32, 32, "pool", 32, 32, 32, "pool"),
)


class VGG16(nn.Module):
    """Map images (N, C, H, W) in [0, 1] to logits (N, K) by thirteen 3x3 convolutions and one affine layer.

    Layer names are the published ones. Poolings round up and the last map is averaged: both do nothing on 32x32
    images, and let smaller ones through.
    """

    published_input = (3, 32, 32)

    def __init__(self, *, width: int, input: tuple[int, int, int], classes: int, activation: nn.Module) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = input[0]
        for entry in LAYOUT:
            if isinstance(entry, str):
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            else:
                layers += [nn.Conv2d(channels, entry * width, 3, padding=1), nn.BatchNorm2d(entry * width), activation]
                channels = entry * width
        self.feature_extractor = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of images (N, C, H, W)."""
        return self.classifier(self.feature_extractor(images).mean((2, 3)))
