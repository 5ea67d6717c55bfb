"""How a file is damaged: bytes changed, dropped and repeated, members of archives and items of HDF5 replaced."""

from __future__ import annotations

import contextlib
import io
import random
import zipfile
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[str, float, bytes]]:
    """Draw what is done to the bytes of a file: where (as a share of it), and with which bytes."""
    kinds = st.sampled_from(["inner"] * 12 + ["flip", "flip", "write", "write", "drop", "repeat", "insert", "cut"])
    words = st.one_of(
        st.binary(min_size=1, max_size=8),
        st.sampled_from(
            [b"\0\0\0\0", b"\xff" * 4, b"\xff" * 8, b"\x7f" + b"\xff" * 3, b"\0" * 7 + b"\x80", b"R", b"."]
        ),
        st.sampled_from([b"cposix\nsystem\n", b"cbuiltins\neval\n", b"c__builtin__\nbytearray\n", b"\x85", b"2", b"Q"]),
    )
    return draw(st.lists(st.tuples(kinds, st.floats(0, 1), words), min_size=1, max_size=3))


def damaged(content: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """Return the bytes of a file after some changes; "inner" changes what lies in an archive or among HDF5's names."""
    for kind, share, word in changes:
        if kind == "inner":
            content = _inner(content, share, word)
            continue
        place = min(int(share * len(content)), max(len(content) - 1, 0))
        if kind == "flip" and content:
            content = content[:place] + bytes([content[place] ^ (1 << word[0] % 8)]) + content[place + 1 :]
        elif kind == "write":
            content = content[:place] + word + content[place + len(word) :]
        elif kind == "drop":
            content = content[:place] + content[place + len(word) * 16 :]
        elif kind == "repeat":
            content = content[:place] + content[place : place + 64] * len(word) + content[place:]
        elif kind == "insert":
            content = content[:place] + word + content[place:]
        elif kind == "cut":
            content = content[:place]
    return content


def _inner(content: bytes, share: float, word: bytes) -> bytes:
    """Change a member of a zip archive, its checksum made to fit, or an item of an HDF5 file; else leave it be."""
    if content[:2] == b"PK":
        with contextlib.suppress(Exception):
            return _inner_zip(content, share, word)
    if content[:4] == b"\x89HDF":
        with contextlib.suppress(Exception):
            return _inner_h5(content, share, word)
    return content


def _inner_zip(content: bytes, share: float, word: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        entries = old.infolist()
        chosen = entries[int(share * 97) % len(entries)] if word[0] % 3 else entries[0]
        for entry in entries:
            held = old.read(entry)
            if entry is chosen and held:
                place = int(share * 7919) % len(held)
                held = held[:place] + word + held[place + len(word) * (word[0] % 2) :]
            new.writestr(entry.filename, held, entry.compress_type)
    return out.getvalue()


def _inner_h5(content: bytes, share: float, word: bytes) -> bytes:
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        number = int.from_bytes(word, "little")
        pick = random.Random(f"{share}{word!r}")
        name = pick.choice(names)
        values: list[Any] = [
            number % 2**62, -1, float("nan"), float("inf"), 1e308, "", word.decode("latin-1"), "$\\frac{$" * 5,
            "a" * 5000, "[/red]\x1b[31m\u202e", np.array([], dtype="f8"), np.eye(2), np.bytes_(word),
            h5py.Empty("f8"), file[name].ref,
            '{"a": [1, {"b": null}]}', "[]", "{", "1e999", ["a", "b"], [1, 2, 3], True,
        ]  # fmt: skip
        value = values[number % len(values)]
        attrs = list(file.attrs)
        action = pick.randrange(6)
        if action < 2 and attrs:
            file.attrs[pick.choice(attrs)] = value
        elif action == 2 and attrs:
            del file.attrs[pick.choice(attrs)]
        elif isinstance(file[name], h5py.Dataset) and action == 3:
            data = file[name][()]
            flat = data.reshape(-1) if isinstance(data, np.ndarray) and data.size else np.zeros(1)
            with contextlib.suppress(TypeError, ValueError):
                flat[number % len(flat)] = value
            file[name][()] = flat.reshape(np.shape(data))
        elif isinstance(file[name], h5py.Dataset) and action == 4:
            shape = tuple(max(0, size + pick.choice([-size, -1, 0, 1])) for size in file[name].shape)
            kind = file[name].dtype
            del file[name]
            file.create_dataset(name, data=np.ones(shape) if kind.kind != "O" else value, dtype=kind)
        else:
            del file[name]
            links = [h5py.SoftLink(f"/{name}"), h5py.ExternalLink("/dev/stdin", "/x"), h5py.SoftLink("/eps")]
            file[name] = pick.choice(links)
    return buffer.getvalue()
