"""Small data sets in the official layouts, for the tests of the readers."""

import gzip
import pickle
import tarfile
from pathlib import Path

import numpy as np

PER_BATCH = 12  # in place of CIFAR-10's 10,000; the tests set the reader's constant to it


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes((0, 0, 8, values.ndim)) + np.array(values.shape, ">u4").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    content = header + values.tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_mnist(raw: Path, *, suffix: str = ".gz", train: int = 9, test: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    written: dict[str, np.ndarray] = {}
    for split, prefix, n in (("train", "train", train), ("test", "t10k", test)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, n, dtype=np.uint8)
        write_idx(raw / f"{prefix}-images-idx3-ubyte{suffix}", images)
        write_idx(raw / f"{prefix}-labels-idx1-ubyte{suffix}", labels)
        written |= {split: images, f"{split}_labels": labels}
    return written


def cifar_batches() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return name -> (images (12, 3, 32, 32) uint8, labels (12,)) of the six batches."""
    rng = np.random.default_rng(1)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    return {
        name: (rng.integers(0, 256, (PER_BATCH, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, PER_BATCH))
        for name in names
    }


def write_cifar_binary(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (images, labels) in cifar_batches().items():
        records = np.concatenate([labels[:, None].astype(np.uint8), images.reshape(PER_BATCH, -1)], axis=1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())


def write_cifar_python(folder: Path, *, protocol: int | None = None) -> None:
    """Write the six batches as Python 3 pickles them, or, with `protocol` None, byte for byte as Python 2 did."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (images, labels) in cifar_batches().items():
        data = images.reshape(PER_BATCH, -1)
        if protocol is None:
            content = python2_batch(data, labels.tolist())
        else:
            batch = {"data": data, "labels": labels.tolist(), "batch_label": name, "filenames": ["x.png"] * PER_BATCH}
            content = pickle.dumps(batch, protocol=protocol)
        (folder / name).write_bytes(content)


def python2_batch(data: np.ndarray, labels: list[int]) -> bytes:
    """Pickle a batch in the opcodes of the official files: protocol 2, 8-bit strings, numpy.core names."""

    def string(value: bytes) -> bytes:
        return (
            b"U" + bytes((len(value),)) + value if len(value) < 256 else b"T" + len(value).to_bytes(4, "little") + value
        )

    def integer(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + string(b"|") + b"NNN" + integer(-1) * 2 + b"K\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
    array += b"(K\x01" + b"".join(integer(size) for size in data.shape) + b"\x86" + dtype + b"\x89"
    array += string(data.tobytes()) + b"tb"
    items = string(b"data") + array
    items += string(b"labels") + b"](" + b"".join(b"K" + bytes((label,)) for label in labels) + b"e"
    items += string(b"batch_label") + string(b"training batch 1 of 5")
    return b"\x80\x02}(" + items + b"u."


def write_archive(path: Path, folder: Path) -> None:
    """Pack a folder as the official archives are: its name in front of each file's."""
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
