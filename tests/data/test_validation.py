from typing import Any

import numpy as np
import pytest
import torch

from landscape.data.validation import image_tensor, label_tensor
from landscape.errors import DataError

BYTES = np.random.default_rng(0).integers(0, 256, (5, 3, 6, 7), dtype=np.uint8)


def hwc(values: np.ndarray) -> np.ndarray:
    return values.transpose(0, 2, 3, 1)


@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy, np.ndarray.tolist])
def test_each_layout_becomes_n_c_h_w(wrap: Any) -> None:
    values = BYTES / np.float32(255) if wrap is np.ndarray.tolist else BYTES
    for given, wanted in (
        (values, values),
        (values[:, 0], values[:, :1]),
        (hwc(values), values),
        (hwc(values[:, :1]), values[:, :1]),
    ):
        tensor = image_tensor(wrap(given.copy()))
        np.testing.assert_array_equal(tensor.numpy(), wanted)
        assert tensor.is_contiguous()


def test_channels_come_first_where_both_readings_are_possible() -> None:
    assert image_tensor(np.zeros((2, 3, 5, 3), np.uint8)).shape == (2, 3, 5, 3)
    assert image_tensor(np.zeros((2, 1, 5, 3), np.uint8)).shape == (2, 1, 5, 3)
    assert image_tensor(np.zeros((2, 4, 5, 2), np.uint8)).shape == (2, 4, 5, 2)  # neither is 1 or 3


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, ">f8"])
def test_floats_become_float32_and_bytes_stay(dtype: Any) -> None:
    values = np.linspace(0, 1, 24).reshape(2, 1, 3, 4).astype(dtype)
    tensor = image_tensor(values)
    assert tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.numpy(), values.astype(np.float32))
    assert image_tensor(BYTES).dtype == torch.uint8


def test_memory_is_shared_where_it_can_be_and_never_written() -> None:
    values = BYTES.copy()
    assert image_tensor(values).numpy().base is not None
    assert np.shares_memory(image_tensor(values).numpy(), values)
    values.flags.writeable = False  # torch warns about such, and a warning is an error here
    np.testing.assert_array_equal(image_tensor(values).numpy(), values)
    np.testing.assert_array_equal(image_tensor(values[::-1, :, ::-1]).numpy(), values[::-1, :, ::-1])


def test_no_graph_is_kept() -> None:
    assert not image_tensor(torch.rand(2, 1, 3, 3, requires_grad=True)).requires_grad


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((4, 4), np.uint8), r"images have shape \(4, 4\), wanted \(N, H, W\)"),
        (np.zeros((1, 1, 1, 4, 4), np.uint8), "images have shape"),
        (np.zeros((0, 1, 4, 4), np.uint8), "hold no pixel"),
        (np.zeros((2, 0, 4), np.uint8), "hold no pixel"),
        (np.zeros((2, 4, 4), np.int64), "images are int64, wanted uint8 in 0..255 or floats"),
        (np.zeros((2, 4, 4), np.uint16), "images are int64, wanted uint8"),
        (np.zeros((2, 4, 4), bool), "images are bool, wanted uint8"),
        (np.zeros((2, 4, 4), complex), "dtype complex128, wanted numbers"),
        (np.full((2, 4, 4), "a"), "dtype <U1, wanted numbers"),
        (np.full((2, 4, 4), None), "dtype object, wanted numbers"),
        ([np.zeros((3, 3)), np.zeros((4, 4))], "images differ in shape"),
        (np.full((2, 4, 4), np.nan), "images hold NaN"),
        (np.full((2, 4, 4), np.inf), "images run from inf to inf"),
        (np.full((2, 4, 4), 1e300), "images run from inf to inf"),
        (
            np.linspace(0, 255, 16).reshape(1, 4, 4),
            "run from 0 to 255, .*; divide by 255: normalisation belongs inside",
        ),
        (np.linspace(-2.4, 2.8, 16).reshape(1, 4, 4), "from -2.4 to 2.8, .*: normalisation belongs inside the model"),
        (np.array([0, 1 + 1e-6]).reshape(1, 1, 2), "run from 0 to 1, wanted"),
    ],
)
def test_what_is_no_image_says_what_came_and_what_was_wanted(images: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        image_tensor(images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, ">i4"])
def test_labels_of_any_integer_type_become_int64(dtype: Any) -> None:
    for given in (np.array([0, 2, 1], dtype), np.array([[0], [2], [1]], dtype)):
        labels = label_tensor(given, count=3, classes=3)
        assert labels.dtype == torch.int64
        assert labels.tolist() == [0, 2, 1]
    assert label_tensor([0, 2, 1], count=3).tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 1], "labels number 2, their images 3"),
        ([0, 1, 3], "labels run from 0 to 3, wanted classes numbered from 0 to 2"),
        ([0, 1, -1], "labels run from -1 to 1"),
        (np.array([0, 1, 2**64 - 1], np.uint64), "labels run from -1 to 1"),
        ([0.0, 1.0, 2.0], "labels are float32, wanted integers"),
        ([True, False, True], "labels are bool, wanted integers"),
        (np.eye(3, dtype=np.int64), "not one-hot"),
        (["cat", "dog", "cat"], "wanted numbers"),
        (0, r"labels have shape \(\)"),
    ],
)
def test_what_is_no_label_says_what_came_and_what_was_wanted(labels: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        label_tensor(labels, count=3, classes=3)
