"""Files that are no checkpoints, or mean harm: each is refused in one sentence, and nothing in it runs."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from landscape.checkpoint import read_checkpoint
from landscape.errors import CheckpointError

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}


def saved(value: Any, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


class Harm:
    """A pickle of this touches a file when it is loaded by pickle."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.mkdir, (self.marker,)


def rezipped(content: bytes, compression: int = zipfile.ZIP_STORED, **replaced: bytes) -> bytes:
    """Write a zip archive anew, with another compression or with `data_pkl` replaced."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for entry in old.infolist():
            key = entry.filename.rpartition("/")[2].replace(".", "_")
            new.writestr(entry.filename, replaced.get(key, old.read(entry)))
    return buffer.getvalue()


def zipped(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, images=np.zeros(3))
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return buffer.getvalue()


def torchscript() -> bytes:
    """Make the entries of a TorchScript archive, which torch no longer writes without a warning."""
    return zipped(**{"net/data.pkl": b"\x80\x02N.", "net/constants.pkl": b"\x80\x02).", "net/code/net.py": b"op"})


def safetensors_of(header: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def refused(tmp_path: Path, content: bytes, name: str = "net.pt") -> str:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()  # one line, no control characters of the file's
    assert ";" in message  # what to do next
    assert caught.value.exit_code == 1
    assert path.read_bytes() == content
    return message.removeprefix(str(path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page"),
        (b"\xef\xbb\xbf\n  <html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"conv1.weight, 0.1, 0.2\n", "is a text file"),
        (b"cos\nsystem\n(S'true'\ntR.", "is a text file"),  # a pickle of protocol 0
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
        (b"\x1f\x8b\x08" + bytes(20), "unpack it"),
        (bytes(range(255, 0, -1)), "is no checkpoint, or a damaged one"),
        (npz(), r"NumPy .npz archive"),
        (npy(), "is a NumPy array"),
        (tar(), "is a tar archive"),
        (zipped(**{"readme.txt": b"hello"}), "zip archive that holds no checkpoint"),
        (zipped(), "zip archive that holds no checkpoint"),
        (torchscript(), "TorchScript archive, which holds code"),
        (zipped(**{"a/archive_format": b"pt2", "a/data.pkl": b""}), "exported program (.pt2)"),
        (zipped(**{"serialized_exported_program.json": b"{}"}), "exported program (.pt2)"),
        (saved([1, 2]), "holds list, wanted tensors by name"),
        (saved(torch.ones(2)), "holds Tensor, wanted tensors by name"),
        (saved({}), "holds no weights"),
        (saved({"epoch": 3}), "holds no weights"),
        (saved({**STATE, "epoch": 3}), "holds int as epoch"),
        (saved({**STATE, "name\x1b[31m": "x"}), "holds str as 'name\\x1b[31m'"),
        (saved({"model": STATE, "net": {**STATE}}), "several nets (model, net); say which: --key model"),
        (saved({"a": STATE, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}, "b": {**STATE}}), "nets (a, b)"),
        (saved({"optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}}), "holds no weights"),
        (saved({"a": torch.eye(3).to_sparse()}), "sparse"),
        (saved({"a": torch.ones(2, dtype=torch.complex64)}), "complex"),
        (saved({"a": torch.ones(2, device="meta")}), "empty tensor"),
        (saved({"a": torch.zeros(1).expand(10**9)}), "claims 1000000000 numbers for a but holds fewer"),
        (saved({"format": "landscape-checkpoint/2", "state_dict": STATE}), "wanted landscape-checkpoint/1; upgrade"),
        (saved({"format": "landscape-checkpoint/1"}), "holds no state dict"),
        (saved({"format": "landscape-checkpoint/1", "state_dict": STATE, "model": 3}), "holds int as its model"),
        (saved({"format": "landscape-checkpoint/1", "state_dict": STATE, "model": "a\nb"}), "no spec as its model"),
        (saved({"format": "landscape-checkpoint/1", "state_dict": STATE, "training": {"x": {1}}}), "holds set among"),
        (safetensors_of({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}), "damaged as .safetensors"),
        (safetensors_of({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4]}}, bytes(4)), "damaged as"),
        (safetensors_of({}), "holds no weights"),
        (struct.pack("<Q", 10) + b"{not json}", "damaged as .safetensors"),
    ],
)
def test_what_is_no_checkpoint_is_told_by_its_kind(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refused(tmp_path, content)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_named_and_not_run(tmp_path: Path, legacy: bool) -> None:
    marker = tmp_path / "ran"
    for value in (Harm(marker), {"state_dict": STATE, "args": Harm(marker)}):
        message = refused(tmp_path, saved(value, legacy=legacy))
        assert "is a pickle that would run code (posix.mkdir) and is not read; save its weights" in message
    assert not marker.exists()


class Own(nn.Module):
    """A net whose class torch does not know."""


def test_a_module_of_torch_s_own_layers_gives_its_weights_and_no_class_of_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = nn.DataParallel(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    content = saved({"net": net, "args": argparse.Namespace(lr=0.1), "best": np.float64(0.5)})
    monkeypatch.setattr(nn.Linear, "__setstate__", os.mkdir, raising=False)  # what loading the real class would call
    (tmp_path / "net.pt").write_bytes(content)
    found = read_checkpoint(tmp_path / "net.pt").state_dict
    wanted = net.module.state_dict()
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_module_of_another_class_is_refused_with_its_name(tmp_path: Path) -> None:
    assert "would run code" in refused(tmp_path, saved(nn.Linear(1, 1), legacy=True))  # its class came in another way
    message = refused(tmp_path, saved(Own()))
    assert "would run code (" in message
    assert ".Own) and is not read" in message
    assert "torch.save(model.state_dict(), FILE)" in message


def pickled(described: bytes) -> bytes:
    """Put a pickle of one's own into the archive that torch.save makes of STATE."""
    return rezipped(saved(STATE), data_pkl=described)


def doubled(levels: int) -> bytes:
    """Make a pickle whose key is a tuple of two of a tuple of two ...: 2^levels steps to hash, 9 bytes a level."""
    deep = b"(I1\n\x85q\x01" + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(1, levels))
    return b"\x80\x02}q\x00" + deep[1:].replace(b"I1\n", b"K\x01") + b"K\x01s."


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "would run code (builtins.bytearray)"),
        (b"\x80\x02ctorch\nFloatTensor\nJ\xff\xff\xff\x7f\x85R.", "would run code (torch.FloatTensor)"),
        (b"\x80\x02ctorch._utils\n_rebuild_qtensor\n)R.", "would run code (torch._utils._rebuild_qtensor)"),
        (b"\x80\x02c__builtin__\neval\nX\x03\x00\x00\x001+1\x85R.", "would run code (builtins.eval)"),
        (b"\x80\x02(i__main__\nHarm\n.", "would run code (__main__.Harm)"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "would run code (an unnamed function)"),
        (doubled(60), "holds more than weights"),
        (b"\x80\x02h\x05.", "holds more than weights"),
        (b"\x80\x02tR.", "holds more than weights"),
    ],
)
def test_an_opcode_that_asks_for_more_than_tensors_is_refused_before_it_is_run(
    tmp_path: Path, described: bytes, words: str
) -> None:
    assert words in refused(tmp_path, pickled(described))


def test_a_zip_of_two_entries_of_one_name_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO(saved(STATE))
    with zipfile.ZipFile(buffer, "a") as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(name, b"\x80\x02}.")
    assert "two entries of one name" in refused(tmp_path, buffer.getvalue())


def test_numbers_shared_under_many_names_cannot_multiply(tmp_path: Path) -> None:
    one = torch.zeros(1000, dtype=torch.float16)
    message = refused(tmp_path, saved({f"w{n}": one for n in range(100)}))
    assert "the same numbers under more names" in message
    tied = {"a": one, "b": one}  # tied weights are common
    (tmp_path / "tied.pt").write_bytes(saved(tied))
    assert len(read_checkpoint(tmp_path / "tied.pt").state_dict) == 2


def test_modules_within_themselves_are_not_walked_for_ever(tmp_path: Path) -> None:
    inner = nn.Sequential(nn.Linear(1, 1))
    for _ in range(40):
        inner = nn.Sequential(inner, inner)
    (tmp_path / "net.pt").write_bytes(saved(inner))
    with contextlib.suppress(CheckpointError):
        read_checkpoint(tmp_path / "net.pt")


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_plain_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "ran"
    refused(tmp_path, pickle.dumps(Harm(marker), protocol=protocol))
    refused(tmp_path, pickle.dumps({"a": 1}, protocol=protocol))
    assert not marker.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file_is_damaged_wherever_it_ends(tmp_path: Path, legacy: bool) -> None:
    content = saved(STATE, legacy=legacy)
    for end in range(1, len(content), 23):
        refused(tmp_path, content[:end])


def test_truncated_safetensors_are_damaged_wherever_they_end(tmp_path: Path) -> None:
    header = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    content = safetensors_of(header, bytes(8))
    for end in range(1, len(content)):
        refused(tmp_path, content[:end], "net.safetensors")


def test_damaged_bytes_never_escape_as_another_error(tmp_path: Path) -> None:
    content = saved(STATE)
    start = content.index(b"\x80\x02")
    generator = np.random.default_rng(0)
    path = tmp_path / "net.pt"
    for _ in range(150):  # inside the pickle, where the unpickler's own mistakes would show
        damaged = bytearray(content)
        damaged[start + int(generator.integers(300))] = int(generator.integers(256))
        path.write_bytes(bytes(damaged))
        with contextlib.suppress(CheckpointError):
            read_checkpoint(path)


def test_a_compressed_archive_cannot_unpack_into_memory(tmp_path: Path) -> None:
    bomb = rezipped(saved({"a": torch.zeros(10**6)}), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 20_000
    assert "compressed zip archive" in refused(tmp_path, bomb)


def test_entries_that_share_their_bytes_cannot_multiply(tmp_path: Path) -> None:
    content = bytearray(saved(STATE))
    size = len(content)
    # The central directory says how large each entry is: one that lies claims more than the whole file.
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        entry = next(e for e in archive.infolist() if e.filename.endswith("data/0"))
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(entry.filename.encode()))
    content[at + 20 : at + 28] = struct.pack("<II", 10 * size, 10 * size)
    refused(tmp_path, bytes(content))


def test_nested_references_are_not_walked_for_ever(tmp_path: Path) -> None:
    layer: Any = [1]
    for _ in range(7):
        layer = [layer] * 50  # 50**7 leaves in a file of a few hundred bytes
    message = refused(
        tmp_path, saved({"format": "landscape-checkpoint/1", "state_dict": STATE, "training": {"x": layer}})
    )
    assert "nested too deep or too many" in message


def test_a_sparse_tensor_with_impossible_indices_is_refused(tmp_path: Path) -> None:
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        bad = torch.sparse_coo_tensor(torch.tensor([[10**6]]), torch.ones(1), (3,))
        content = saved({"a": bad})
    refused(tmp_path, content)


def test_a_recovered_setting_leaves_torch_as_it_was(tmp_path: Path) -> None:
    enabled = torch.sparse.check_sparse_tensor_invariants.is_enabled()
    refused(tmp_path, saved({"a": torch.eye(2).to_sparse()}))
    assert torch.sparse.check_sparse_tensor_invariants.is_enabled() == enabled
