import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape.data import load_data, to_unit
from landscape.data.mnist import read_idx
from landscape.errors import DataError, UsageError
from tests.data.layouts import write_idx, write_mnist


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("place", ["MNIST/raw", "raw", "MNIST", "."])
def test_mnist_is_found_where_people_keep_it(place: str, suffix: str, tmp_path: Path) -> None:
    written = write_mnist(tmp_path / place, suffix=suffix)
    for split in ("train", "test"):
        data = load_data("mnist", split=split, data_dir=tmp_path)
        np.testing.assert_array_equal(data.images.numpy()[:, 0], written[split])
        np.testing.assert_array_equal(data.labels.numpy(), written[f"{split}_labels"])
        assert (data.images.dtype, data.labels.dtype) == (torch.uint8, torch.int64)
        assert (data.shape, data.classes, data.spec, data.split) == ((1, 28, 28), 10, "mnist", split)


def test_the_environment_names_the_folder_and_data_dir_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path / "env/MNIST/raw", train=5)
    write_mnist(tmp_path / "named/MNIST/raw", train=7)
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path / "env"))
    assert len(load_data("mnist")) == 5
    assert len(load_data("mnist", data_dir=tmp_path / "named")) == 7


def test_the_users_cache_is_looked_at_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    write_mnist(tmp_path / "landscape/MNIST/raw")
    assert len(load_data("mnist")) == 9


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--data-dir names .*dta, which is no folder; make it with mkdir"):
        load_data("mnist", data_dir=tmp_path / "dta")
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path / "dta"))
    with pytest.raises(UsageError, match=r"\$LANDSCAPE_DATA names .*dta"):
        load_data("cifar10")
    assert len(load_data("digits")) == 1437  # which needs no folder
    assert not list(tmp_path.iterdir())


IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_idx_file_is_read_back(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    write_idx(path, IMAGES)
    np.testing.assert_array_equal(read_idx(path, ndim=3), IMAGES)


def idx(content: bytes, *, dims: tuple[int, ...] = (3, 4, 5), magic: bytes = b"\0\0\x08\x03") -> bytes:
    return magic + np.array(dims, ">u4").tobytes() + content


BODY = IMAGES.tobytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no idx file"),
        (b"\0\0\x08", "is no idx file"),
        (b"<!DOCTYPE html><html></html>", "is no idx file"),
        (idx(BODY, magic=b"\0\0\x0d\x03"), "is no idx file"),  # floats
        (idx(BODY, dims=(60,), magic=b"\0\0\x08\x01"), "is no idx file of 3-dimensional"),  # labels for images
        (idx(BODY[:-1]), "promises 60 bytes, it holds only 59"),
        (idx(BODY + b"\0"), "promises 60 bytes, it holds more"),
        (idx(BODY, dims=(2**32 - 1,) * 3), "its header promises"),  # no memory is reserved on its word
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_damaged_idx_file_says_so(content: bytes, said: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / ("x.gz" if zipped else "x")
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match=f"x.*{said}.*; delete it") as caught:
        read_idx(path, ndim=3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"<html>Sign in to the network</html>",
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-4],  # the length that gzip keeps at the end
        lambda content: content[:30] + bytes(20) + content[50:],
        lambda content: content[:-8] + b"\0\0\0\0" + content[-4:],  # the checksum
    ],
)
def test_a_damaged_gzip_file_says_so(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "x.gz"
    write_idx(path, np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="x.gz .*; delete it"):
        read_idx(path, ndim=3)


def test_images_and_labels_of_unlike_number_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.zeros(8, np.uint8))
    with pytest.raises(DataError, match="labels of mnist number 8, their images 9"):
        load_data("mnist", data_dir=tmp_path)


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.full(9, 10, np.uint8))
    with pytest.raises(DataError, match="labels of mnist run from 10 to 10, wanted classes numbered from 0 to 9"):
        load_data("mnist", data_dir=tmp_path)


@pytest.mark.real_data
def test_the_real_mnist_has_its_published_numbers() -> None:
    train, test = load_data("mnist"), load_data("mnist", split="test")
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    pixels = to_unit(train.images)
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)  # published with four digits
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)
