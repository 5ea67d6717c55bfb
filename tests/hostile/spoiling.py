"""How a good HDF5 file is spoilt, and the one sentence that a command refuses it with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from tests.commands.runner import landscape


def refused(*words: str | Path, code: int = 1) -> str:
    """Return the one sentence that a command refuses with."""
    done = landscape(*words)
    assert done.code == code, (done, words)
    lines = done.err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("Error: ")
    assert len(lines[0]) < 1000
    assert lines[0].isprintable()
    return lines[0]


Spoil = Callable[[h5py.File], Any]


def replaced(name: str, **new: Any) -> Spoil:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **new)

    return change


def attribute(name: str, value: Any, dtype: Any = None) -> Spoil:
    return lambda file: file.attrs.create(name, value, dtype=dtype)


def linked(name: str, link: Any) -> Spoil:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = link

    return change
