import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape.data import ImageData, cifar10, load_data, to_unit
from landscape.errors import DataError
from tests.data.layouts import PER_BATCH, cifar_batches, write_archive, write_cifar_binary, write_cifar_python


@pytest.fixture(autouse=True)
def small_batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.node.get_closest_marker("real_data"):
        monkeypatch.setattr(cifar10, "_PER_BATCH", PER_BATCH)


def assert_is_what_was_written(folder: Path) -> None:
    written = cifar_batches()
    for split, names in (("train", [f"data_batch_{i}" for i in range(1, 6)]), ("test", ["test_batch"])):
        data = load_data("cifar10", split=split, data_dir=folder)
        np.testing.assert_array_equal(data.images.numpy(), np.concatenate([written[name][0] for name in names]))
        np.testing.assert_array_equal(data.labels.numpy(), np.concatenate([written[name][1] for name in names]))
        assert (data.images.dtype, data.labels.dtype) == (torch.uint8, torch.int64)
        assert (data.shape, data.classes, data.spec, data.split) == ((3, 32, 32), 10, "cifar10", split)


@pytest.mark.parametrize("place", ["cifar-10-batches-bin", "."])
def test_the_binary_version_is_found(place: str, tmp_path: Path) -> None:
    write_cifar_binary(tmp_path / place)
    assert_is_what_was_written(tmp_path)


@pytest.mark.parametrize("protocol", [None, 2, 4])
@pytest.mark.parametrize("place", ["cifar-10-batches-py", "."])
def test_the_python_version_is_found(place: str, protocol: int | None, tmp_path: Path) -> None:
    write_cifar_python(tmp_path / place, protocol=protocol)
    assert_is_what_was_written(tmp_path)


@pytest.mark.parametrize(("write", "name"), [(write_cifar_binary, "bin"), (write_cifar_python, "py")])
def test_an_archive_is_read_as_it_was_downloaded(write, name: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path / f"elsewhere/cifar-10-batches-{name}")
    archive = tmp_path / f"data/cifar-10-{'binary' if name == 'bin' else 'python'}.tar.gz"
    archive.parent.mkdir()
    write_archive(archive, tmp_path / f"elsewhere/cifar-10-batches-{name}")
    assert_is_what_was_written(tmp_path / "data")
    assert list(archive.parent.iterdir()) == [archive]  # nothing is unpacked


def test_a_complete_copy_goes_before_an_incomplete_one(tmp_path: Path) -> None:
    write_cifar_binary(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "cifar-10-batches-bin/data_batch_4.bin").unlink()
    write_cifar_python(tmp_path / "cifar-10-batches-py")
    assert_is_what_was_written(tmp_path)


def test_an_incomplete_copy_alone_is_named(tmp_path: Path) -> None:
    write_cifar_binary(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "cifar-10-batches-bin/data_batch_4.bin").unlink()
    with pytest.raises(DataError, match=r"cifar-10-batches-bin lacks data_batch_4.bin; add what is missing"):
        load_data("cifar10", data_dir=tmp_path)
    assert len(load_data("cifar10", split="test", data_dir=tmp_path)) == PER_BATCH


@pytest.mark.parametrize("content", [b"", b"<html></html>", bytes(3073 * PER_BATCH - 1), bytes(3073 * (PER_BATCH + 1))])
def test_a_damaged_binary_batch_says_so(content: bytes, tmp_path: Path) -> None:
    write_cifar_binary(tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(content)
    with pytest.raises(DataError, match=f"data_batch_3.bin is damaged: it has {len(content)} bytes, wanted 36876"):
        load_data("cifar10", data_dir=tmp_path)


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    write_cifar_binary(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(b"\x0a" * 3073 * PER_BATCH)
    with pytest.raises(DataError, match="labels of cifar10 run from 10 to 10"):
        load_data("cifar10", split="test", data_dir=tmp_path)


PIXELS = np.zeros((PER_BATCH, 3072), np.uint8)
LABELS = [0] * PER_BATCH


@pytest.mark.parametrize(
    "batch",
    [
        [PIXELS, LABELS],
        {"data": PIXELS},
        {"labels": LABELS},
        {"data": PIXELS[:-1], "labels": LABELS},
        {"data": PIXELS.reshape(-1, 3, 32, 32), "labels": LABELS},
        {"data": PIXELS, "labels": LABELS[:-1]},
        {"data": PIXELS, "labels": [*LABELS[:-1], 10]},
        {"data": PIXELS, "labels": [*LABELS[:-1], 0.5]},
        {"data": PIXELS, "labels": PIXELS[:, 0]},
        {"data": LABELS, "labels": LABELS},
    ],
)
def test_a_pickle_of_other_things_is_no_batch(batch: object, tmp_path: Path) -> None:
    write_cifar_python(tmp_path)
    (tmp_path / "test_batch").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(DataError, match="test_batch is no batch of CIFAR-10"):
        load_data("cifar10", split="test", data_dir=tmp_path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    write_cifar_python(tmp_path)
    (tmp_path / "test_batch").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(DataError, match=r"test_batch names os.system, and is not read"):
        load_data("cifar10", split="test", data_dir=tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"<html></html>",
        lambda content: content[: len(content) // 2],
        lambda content: content[:100] + bytes(100) + content[200:],
    ],
)
def test_a_damaged_archive_says_so(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_cifar_binary(tmp_path / "x/cifar-10-batches-bin")
    archive = tmp_path / "cifar-10-binary.tar.gz"
    write_archive(archive, tmp_path / "x/cifar-10-batches-bin")
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz .*; delete it") as caught:
        load_data("cifar10", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_an_archive_of_other_files_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    write_archive(tmp_path / "cifar-10-binary.tar.gz", tmp_path / "x")
    with pytest.raises(DataError, match=r"holds no cifar-10-batches-bin/data_batch_1.bin"):
        load_data("cifar10", data_dir=tmp_path)


def moments(data: ImageData) -> tuple[list[float], list[float]]:
    """Return the mean and standard deviation of each channel from counts of the 256 values: exact, and small."""
    values = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(3):
        weights = torch.bincount(data.images[:, channel].flatten(), minlength=256).double()
        weights /= weights.sum()
        means.append(float(weights @ values))
        deviations.append(float((weights @ values**2 - means[-1] ** 2).sqrt()))
    return means, deviations


@pytest.mark.real_data
def test_the_real_cifar10_has_its_published_numbers() -> None:
    train, test = load_data("cifar10"), load_data("cifar10", split="test")
    assert (len(train), len(test)) == (50_000, 10_000)
    assert train.labels[:5].tolist() == [6, 9, 9, 4, 1]  # frog, truck, truck, deer, automobile
    assert test.labels[:5].tolist() == [3, 8, 8, 0, 6]
    assert torch.bincount(train.labels).tolist() == [5000] * 10
    means, deviations = moments(train)
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=6e-5)  # published with four digits
    assert deviations == pytest.approx([0.2470, 0.2435, 0.2616], abs=6e-5)
    assert to_unit(train.images[:2]).max() <= 1
