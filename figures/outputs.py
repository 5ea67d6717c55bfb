"""What every figure script writes: files that share a stem, each whole or not at all, and what they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from landscape.errors import UsageError
from landscape.files import atomic_path, sha256_of
from landscape.results import Result, caveats


def output_stem(out: Path, name: str) -> Path:
    """Return `out` without .pdf or .png, or `name` in the folder that it is; the outputs of a script share it."""
    if out.is_dir():
        return out / name
    if out.suffix.lower() in (".pdf", ".png"):
        return out.with_suffix("")
    if out.suffix and not out.suffix[1:].isdigit():  # results-v1.2 has no suffix
        raise UsageError(f"--out {out} ends in {out.suffix}; wanted .pdf or .png (both are written)")
    return out


def write_text(path: Path, text: str) -> Path:
    """Write a text, in place of what is there, and return its path."""
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def input_record(path: Path, result: Result, told: Sequence[str]) -> dict[str, Any]:
    """Return what identifies an input: the file and its hash, the attributes `told`, and its caveats."""
    attributes = {name: result.attrs[name] for name in told}
    return {"file": str(path), "sha256": sha256_of(path), **attributes, "caveats": caveats(result)}
