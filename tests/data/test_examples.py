import hashlib

import numpy as np
import pytest
import torch

from landscape.data import ImageData, load_data, select, to_unit
from landscape.errors import DataError, UsageError


def numbered(n: int) -> ImageData:
    """Return images whose pixels tell their index."""
    images = torch.arange(n, dtype=torch.float32).reshape(n, 1, 1, 1).expand(n, 1, 2, 2) / n
    return ImageData(images.contiguous(), torch.arange(n) % 3, 3, "numbered", "train")


def test_a_choice_is_sorted_without_repeats_and_holds_its_own_images() -> None:
    data = numbered(100)
    chosen = select(data, 30, seed=1)
    assert len(chosen) == 30
    assert (chosen.indices.diff() > 0).all()
    assert torch.equal(chosen.images, data.images[chosen.indices])
    assert torch.equal(chosen.labels, data.labels[chosen.indices])
    assert (chosen.indices.dtype, chosen.labels.dtype) == (torch.int64, torch.int64)


def test_a_choice_is_a_function_of_seed_and_size() -> None:
    torch.manual_seed(0)
    first = select(numbered(100), 30, seed=1).indices
    torch.manual_seed(1)
    other = ImageData(torch.zeros(100, 3, 4, 4, dtype=torch.uint8), torch.zeros(100, dtype=torch.int64), 7, "x", "test")
    assert torch.equal(first, select(other, 30, seed=1).indices)
    assert not torch.equal(first, select(other, 30, seed=2).indices)
    assert not torch.equal(first, select(numbered(101), 30, seed=1).indices)
    # Written down, since results of today must be repeatable tomorrow.
    assert select(numbered(20), 5, seed=0).indices.tolist() == [1, 3, 7, 16, 17]


def test_a_larger_choice_holds_the_smaller() -> None:
    small, large = (set(select(numbered(200), n, seed=4).indices.tolist()) for n in (20, 90))
    assert small < large


def test_every_example_is_chosen_equally_often() -> None:
    counts = np.zeros(20)
    for seed in range(2000):
        counts[select(numbered(20), 5, seed=seed).indices.numpy()] += 1
    assert abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)  # five standard deviations of the binomial


@pytest.mark.parametrize(("n", "count"), [(None, 50), ("all", 100), (100, 100), (1, 1), ("30", 30)])
def test_the_number_of_examples(n: int | str | None, count: int) -> None:
    assert len(select(numbered(100), n, cap=50)) == count


def test_none_is_all_where_the_split_is_smaller_than_the_cap() -> None:
    data = numbered(100)
    chosen = select(data)
    assert torch.equal(chosen.indices, torch.arange(100))
    assert chosen.images is data.images  # held once


@pytest.mark.parametrize("n", [101, 0, -1, "some", "0", "-3", "2.5"])
def test_a_number_that_cannot_be_met_says_how_many_there_are(n: int | str) -> None:
    with pytest.raises(UsageError, match=f"n-examples = '?{n}'? .*write 1 to 100, or all"):
        select(numbered(100), n)


def test_to_unit_divides_bytes_by_255_and_lets_floats_pass() -> None:
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_unit(every, dtype=torch.float64).flatten(), torch.arange(256, dtype=torch.float64) / 255)
    assert to_unit(every).dtype == torch.float32
    assert every.flatten()[255] == 255
    floats = torch.rand(2, 1, 3, 3)
    assert to_unit(floats) is floats
    assert to_unit(floats, dtype=torch.float64).dtype == torch.float64
    with pytest.raises(DataError, match="images are int64, wanted uint8, or floats"):
        to_unit(torch.zeros(1, 1, 2, 2, dtype=torch.int64))


def test_the_sha256_is_of_the_bytes_of_images_and_labels() -> None:
    data = numbered(10)
    expected = hashlib.sha256(data.images.numpy().tobytes() + data.labels.numpy().tobytes()).hexdigest()
    assert data.sha256 == expected
    assert ImageData(data.images, data.labels.flip(0), 3, "numbered", "train").sha256 != expected


def test_an_image_data_shows_what_it_is_and_not_its_pixels() -> None:
    assert repr(numbered(10)) == "ImageData(classes=3, spec='numbered', split='train')"


def test_the_digits_are_those_of_uci_split_once_for_all() -> None:
    train, test = load_data("digits"), load_data("digits", split="test")
    assert (len(train), len(test)) == (1437, 360)
    for data in (train, test):
        assert (data.shape, data.classes, data.images.dtype) == ((1, 8, 8), 10, torch.float32)
        assert data.images.unique().mul(16).tolist() == list(range(17))
    # The first row of the published file, and how often it has each class.
    first = [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0, 0, 3, 15, 2, 0, 11, 8, 0, 0, 4, 12, 0, 0, 8, 8, 0]
    assert train.images[0].flatten()[:32].mul(16).tolist() == first
    assert torch.cat([train.labels, test.labels]).bincount().tolist() == [
        178, 182, 177, 183, 181, 182, 181, 179, 174, 180,
    ]  # fmt: skip
    assert train.images.double().sum().item() * 16 + test.images.double().sum().item() * 16 == 561_718


def test_the_first_training_images_alone_are_a_data_set_of_their_own() -> None:
    every, first = load_data("digits"), load_data("digits:train=100")
    assert torch.equal(first.images, every.images[:100]) and torch.equal(first.labels, every.labels[:100])
    assert (first.spec, first.classes, first.split) == ("digits:train=100", 10, "train")
    test = load_data("digits:train=100", split="test")  # the same test images, whatever is trained on
    assert torch.equal(test.images, load_data("digits", split="test").images)
    assert test.spec == "digits:train=100"
