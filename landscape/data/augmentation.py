"""The augmentation of CIFAR-10 training: a random crop of the padded image, and a random horizontal flip."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def random_crop_flip(images: Tensor, generator: np.random.Generator, *, pad: int = 4) -> Tensor:
    """Return images (N, C, H, W), each padded by `pad` zeros, cropped at random to H x W, and flipped with chance 1/2.

    Type and device are kept. The draws come from the CPU: the same for every device.
    """
    n, channels, height, width = images.shape
    down, right = generator.integers(0, 2 * pad + 1, size=(2, n))
    flip = generator.random(n) < 0.5
    rows = down[:, None] + np.arange(height)
    columns = right[:, None] + np.where(flip[:, None], np.arange(width)[::-1], np.arange(width))
    index = torch.from_numpy(rows[:, :, None] * (width + 2 * pad) + columns[:, None, :]).to(images.device)
    padded = F.pad(images, (pad, pad, pad, pad)).flatten(2)
    index = index.view(n, 1, height * width).expand(n, channels, height * width)
    return padded.gather(2, index).view(n, channels, height, width)
