"""Where a result comes from: when, by which command and versions; and the short hash of its settings in its name."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from .values import Value, jsonable


def provenance(*, command: str, device: str | None = None, torch_version: str | None = None) -> dict[str, Value]:
    """Return the attributes that say when and with what a result was made, and no user or machine."""
    return {
        "command": command,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "landscape_version": __version__,
        "torch_version": torch_version,
        "device": device,
        "python_version": platform.python_version(),
        "numpy_version": np.__version__,
    }


def command_line(argv: Sequence[str] | None = None) -> str:
    """Return the running command as one would type it: the program's name without its folder, arguments quoted."""
    program, *arguments = list(sys.argv if argv is None else argv) or ["python"]
    path = Path(program)
    if path.parent.name == "landscape" and path.name in ("__main__.py", "cli.py"):
        return shlex.join(["landscape", *arguments])  # python -m landscape, python -m landscape.cli
    return shlex.join([path.name or "python", *arguments])


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Return six hexadecimal digits that name these settings, whatever their order; 1 and 1.0 are the same number."""
    canonical = json.dumps(_integral(jsonable("settings", settings)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:6]


def default_path(stem: str, kind: str, settings: Mapping[str, Any], *, folder: str | Path = "results") -> Path:
    """Return `results/STEM.KIND-HASH.h5`; what no file name holds becomes a hyphen (digits/eps0.1: digits-eps0.1)."""
    safe = re.sub(r"[^\w.+=-]+", "-", stem).strip("-.") or "net"
    return Path(folder) / f"{safe}.{kind}-{settings_hash(settings)}.h5"


def _integral(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _integral(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_integral(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
