"""The small trained nets that ship with the package, known by name: `digits/eps0.1`."""

from __future__ import annotations

import os
from pathlib import Path

# The package looks in every folder that it spans: beside itself in a checkout, inside itself once installed.
from . import __path__ as _package_folders
from .errors import CheckpointError
from .spec import nearest


def shipped_names() -> list[str]:
    """Return the names of the nets that ship, sorted, such as digits/eps0.1."""
    return sorted(_shipped())


def resolve_checkpoint(name: str | Path) -> Path:
    """Return the file that a path or a shipped name stands for; a real path wins over a shipped name.

    Raises CheckpointError, with the nearest shipped names, where there is neither.
    """
    path = Path(name)
    if os.path.isdir(path):
        raise CheckpointError(f"{path} is a folder; name a checkpoint file in it")
    if os.path.exists(path):
        if not path.is_file():
            raise CheckpointError(f"{path} is a pipe or a device, not a file; save it to disk first")
        return path
    shipped = _shipped()
    if str(name) in shipped:
        return shipped[str(name)]
    hint = f"of the shipped nets, {nearest(str(name), shipped)}" if shipped else "give the path of a .pt file"
    raise CheckpointError(f"{name} is neither a file nor a shipped net; {hint}")


def _shipped() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in (Path(place) / "checkpoints" for place in _package_folders):
        for path in folder.glob("*/*.pt"):
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return found
