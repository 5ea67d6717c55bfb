"""Reading files that strangers made: looked at before they are opened, loaded as plain data, never run."""

from __future__ import annotations

import io
import json
import pickle
import re
import string
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from .errors import CheckpointError
from .pickle_scan import Scan, scan_pickle
from .stubs import stub_for, stubs_for

_SAVE_WEIGHTS = "save its weights with torch.save(model.state_dict(), FILE)"
_FETCH_AGAIN = "copy or download it again"

# The first bytes of files that people pass by mistake, and what to do instead.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, not a checkpoint; if it is a result, landscape plot draws it"),
    (b"\x93NUMPY", f"is a NumPy array; {_SAVE_WEIGHTS}"),
    (b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (b"BZh", "is compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ\x00", "is compressed with xz; unpack it first"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself; run git lfs pull"),
)

# What a pickle may call: the makers of tensors, and of the plain containers that weights come in. A shorter list than
# torch's own, on which a few bytes can ask for any amount of memory.
_CALLABLE = {
    "collections.OrderedDict",
    "collections.Counter",
    "torch.Size",
    "torch.device",
    "torch.nn.parameter.Parameter",
    "torch.serialization._get_layout",
    "torch._tensor._rebuild_from_type_v2",
    "_codecs.encode",
    "builtins.set",
    "builtins.complex",
    *(
        f"torch._utils._rebuild_{what}"
        for what in (
            "tensor",
            "tensor_v2",
            "tensor_v3",
            "parameter",
            "parameter_with_state",
            "sparse_tensor",
            "meta_tensor_no_storage",
        )
    ),
}
_LARGEST_PICKLE = 64 * 2**20  # bytes of what describes the tensors; their numbers lie elsewhere
_LEGACY_PICKLES = 5  # of a file as torch wrote them before 1.6, its numbers after them
_MOST_VIEWS = 8  # tensors that share their numbers are copied apart: a small file could hold any number of them


def load_untrusted(path: Path, file: BinaryIO) -> tuple[Any, dict[str, Any] | None]:
    """Load what an open file holds, as (data, None), or (tensors, header) from .safetensors; nothing in it is run.

    `path` is for messages only. Raises CheckpointError, in one sentence, for a file that is no checkpoint, is damaged,
    or would run code.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    if size == 0:
        raise _refusal(path, f"is empty; {_FETCH_AGAIN}")
    for magic, verdict in _OTHERS:
        if head.startswith(magic):
            raise _refusal(path, verdict)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise _refusal(path, "is a web page, not a checkpoint; download the file itself, not the page that shows it")
    if head[257:262] == b"ustar":
        raise _refusal(path, f"is a tar archive; unpack it, or {_SAVE_WEIGHTS}")
    if head[:2] == b"PK":
        return _load_torch(path, file, _check_zip(path, file, size)), None
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return _load_safetensors(path, file.read())
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _load_torch(path, file, _scan(path, file, _LEGACY_PICKLES)), None
    if all(byte in string.printable.encode() for byte in head):
        raise _refusal(path, "is a text file; wanted a checkpoint (.pt or .safetensors)")
    raise _refusal(path, f"is no checkpoint, or a damaged one; {_FETCH_AGAIN}, or {_SAVE_WEIGHTS}")


def check_tensors(path: Path, mapping: dict[Any, Any]) -> dict[str, Tensor]:
    """Return the tensors of a state dict by name: dense, on the CPU, finite, with the numbers they claim to hold.

    Half precision is raised to float32; float64 stays. Raises CheckpointError naming the first tensor that is not so.
    """
    tensors: dict[str, Tensor] = {}
    held: dict[int, int] = {}
    claimed = 0
    for name, value in mapping.items():
        shown = show(name)
        if not isinstance(name, str) or type(value) not in (Tensor, nn.Parameter):
            raise _refusal(
                path, f"holds {show(type(value).__name__)} as {shown}, wanted tensors by name; {_SAVE_WEIGHTS}"
            )
        if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.device.type != "cpu":
            raise _refusal(
                path, f"holds {shown} as a sparse, quantised, complex or empty tensor; save it dense and real"
            )
        if value.untyped_storage().nbytes() < value.numel() * value.element_size():
            raise _refusal(path, f"claims {value.numel()} numbers for {shown} but holds fewer; {_SAVE_WEIGHTS}")
        held[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        claimed += value.numel() * value.element_size()
        if claimed > _MOST_VIEWS * sum(held.values()):
            raise _refusal(path, f"holds the same numbers under more names than it could need; {_SAVE_WEIGHTS}")
        tensor = value.detach()
        if tensor.is_floating_point():
            tensor = tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
            if not torch.isfinite(tensor).all():
                raise _refusal(
                    path, f"holds NaN or infinite weights in {shown}; take a checkpoint from before it diverged"
                )
        tensors[name] = tensor
    return tensors


def check_plain(path: Path, value: Any, *, depth: int = 8) -> Any:
    """Return a value that is nested dicts and lists of plain Python of modest size; raise CheckpointError otherwise."""
    left = [100_000]  # a small pickle can nest references into more leaves than any machine can visit

    def visit(item: Any, depth: int) -> None:
        left[0] -= 1
        if depth < 0 or left[0] < 0:
            raise _refusal(path, f"holds settings that are nested too deep or too many; {_FETCH_AGAIN}")
        if isinstance(item, dict):
            for key, inner in item.items():
                visit(key, depth - 1)
                visit(inner, depth - 1)
        elif isinstance(item, list | tuple):
            for inner in item:
                visit(inner, depth - 1)
        elif not (item is None or isinstance(item, bool | int | float | str)):
            raise _refusal(
                path, f"holds {show(type(item).__name__)} among its settings, wanted plain Python; {_FETCH_AGAIN}"
            )

    visit(value, depth)
    return value


def show(name: Any) -> str:
    """Return a name out of a stranger's file as it may be printed: short, and free of control characters."""
    text = str(name)[:120]
    return text if text.isprintable() else ascii(text)


def _check_zip(path: Path, file: BinaryIO, size: int) -> Scan:
    """Refuse zip archives that torch.save did not write; TorchScript and .pt2 hold code, whatever their suffix.

    Return what the pickle in the archive calls for.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            _check_entries(path, entries, size)
            with archive.open(next(e for e in entries if e.filename.rpartition("/")[2] == "data.pkl")) as described:
                content = described.read(_LARGEST_PICKLE + 1)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged archive fails in a dozen ways inside zipfile
        raise CheckpointError(f"{path} is truncated or damaged; {_FETCH_AGAIN}") from error
    file.seek(0)
    return _scan(path, io.BytesIO(content), 1)


def _check_entries(path: Path, entries: list[zipfile.ZipInfo], size: int) -> None:
    names = [entry.filename.partition("/")[2] or entry.filename for entry in entries]
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise _refusal(path, f"is a TorchScript archive, which holds code and is not read; {_SAVE_WEIGHTS}")
    if {"archive_format", "serialized_exported_program.json"} & {*names}:
        raise _refusal(path, f"is an exported program (.pt2), which holds code and is not read; {_SAVE_WEIGHTS}")
    if entries and all(entry.filename.endswith(".npy") for entry in entries):
        raise _refusal(path, f"is a NumPy .npz archive, which may be data but no checkpoint; {_SAVE_WEIGHTS}")
    if "data.pkl" not in names:
        raise _refusal(path, f"is a zip archive that holds no checkpoint; unpack it, or {_SAVE_WEIGHTS}")
    # torch.save never compresses; a few kilobytes that unpack to many gigabytes are an attack on memory.
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(e.file_size for e in entries) > size:
        raise _refusal(path, f"is a compressed zip archive, which torch.save does not write; {_SAVE_WEIGHTS}")
    if len({*names}) < len(names):  # two readers of one archive would see two things
        raise _refusal(path, f"is a zip archive with two entries of one name; {_FETCH_AGAIN}")


def _scan(path: Path, file: BinaryIO, pickles: int) -> Scan:
    """Return what the pickles that `file` begins with call for; refuse them where that is more than tensors."""
    found = Scan()
    content = io.BytesIO(file.read(_LARGEST_PICKLE))
    file.seek(0)
    try:
        for _ in range(pickles):
            scan_pickle(content, found)
    except Exception as error:  # pickletools fails in its own way at each kind of damage
        if not _forbidden(found):
            what = "a pickle that holds no weights" if pickles > 1 else "holds more than weights"
            raise CheckpointError(f"{path} is damaged, or {what}; {_SAVE_WEIGHTS}") from error
    if names := _forbidden(found):
        raise _runs_code(path, names)
    return found


def _forbidden(found: Scan) -> list[str]:
    return sorted(name for name in found.called - _CALLABLE if stub_for(name) is None)


def _runs_code(path: Path, names: list[str]) -> CheckpointError:
    shown = ", ".join(show(name) for name in names[:4]) + (" and more" if len(names) > 4 else "")
    return _refusal(path, f"is a pickle that would run code ({shown}) and is not read; {_SAVE_WEIGHTS}")


def _load_torch(path: Path, file: BinaryIO, scan: Scan) -> Any:
    stubs: list[Any] = stubs_for(scan.named)
    try:
        with (
            warnings.catch_warnings(),
            torch.sparse.check_sparse_tensor_invariants(),
            torch.serialization.safe_globals(stubs),
        ):
            warnings.simplefilter("ignore")  # about sparse and typed storages, which are refused below in our words
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        names = _globals_named(file, str(error))
        if names:
            raise _runs_code(path, names) from error
        raise CheckpointError(f"{path} is damaged, or a pickle that holds no weights; {_SAVE_WEIGHTS}") from error
    except Exception as error:  # a damaged file can fail anywhere inside the reader, and is never tried another way
        raise CheckpointError(f"{path} is truncated or damaged; {_FETCH_AGAIN}") from error


def _globals_named(file: BinaryIO, refusal: str) -> list[str]:
    """List the names that a refused pickle calls for, without running it."""
    try:
        file.seek(0)
        names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
        return sorted(name for name in names if stub_for(name) is None)
    except Exception:  # noqa: BLE001 - not a zip, or damaged in any way; the refusal itself names the first
        return re.findall(r"GLOBAL ([\w.]+)", refusal)[:1]


def _load_safetensors(path: Path, content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        tensors = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError, RecursionError) as error:
        raise CheckpointError(f"{path} is truncated or damaged as .safetensors; {_FETCH_AGAIN}") from error
    return tensors, header


def _refusal(path: Path, verdict: str) -> CheckpointError:
    return CheckpointError(f"{path} {verdict}")
