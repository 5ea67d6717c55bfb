import numpy as np
import pytest
import torch
from torch import Tensor

from landscape.data import random_crop_flip
from landscape.streams import stream


def one_by_one(images: Tensor, generator: np.random.Generator, pad: int) -> Tensor:
    """Crop and flip image by image, the way it is described."""
    n, channels, height, width = images.shape
    down, right = generator.integers(0, 2 * pad + 1, size=(2, n))
    flip = generator.random(n) < 0.5
    result = []
    for i in range(n):
        padded = torch.zeros(channels, height + 2 * pad, width + 2 * pad, dtype=images.dtype)
        padded[:, pad : pad + height, pad : pad + width] = images[i]
        crop = padded[:, down[i] : down[i] + height, right[i] : right[i] + width]
        result.append(crop.flip(2) if flip[i] else crop)
    return torch.stack(result)


@pytest.mark.parametrize("shape", [(64, 3, 32, 32), (50, 1, 5, 7), (1, 2, 3, 2)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("pad", [0, 1, 4])
def test_the_batch_equals_a_loop_over_images(shape: tuple[int, ...], dtype: torch.dtype, pad: int) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(1, 256, shape)).to(dtype)
    kept = images.clone()
    changed = random_crop_flip(images, stream(0, "augment"), pad=pad)
    assert torch.equal(changed, one_by_one(images, stream(0, "augment"), pad))
    assert changed.dtype == dtype
    assert torch.equal(images, kept)


def test_every_shift_and_both_flips_come_equally_often() -> None:
    # One bright pixel in the middle shows where its image went.
    n, pad = 40_000, 1
    images = torch.zeros(n, 1, 3, 4)
    images[:, 0, 1, 1] = 1
    changed = random_crop_flip(images, stream(0, "augment"), pad=pad)
    place = changed[:, 0].flatten(1).argmax(1)
    counts = torch.bincount(place, minlength=12).reshape(3, 4)
    # Columns 0..2 are the three shifts unflipped, columns 1..3 flipped: 1, 2, 2 and 1 of six equal chances.
    expected = n / 3 * torch.tensor([1, 2, 2, 1]).expand(3, 4) / 6
    assert ((counts - expected).abs() < 5 * expected.sqrt()).all()  # five standard deviations


def test_the_draws_are_the_generators_alone() -> None:
    images = torch.rand(8, 3, 8, 8)
    state = torch.get_rng_state()
    first = random_crop_flip(images, stream(3, "augment"))
    assert torch.equal(first, random_crop_flip(images, stream(3, "augment")))
    assert not torch.equal(first, random_crop_flip(images, stream(4, "augment")))
    assert torch.equal(torch.get_rng_state(), state)
