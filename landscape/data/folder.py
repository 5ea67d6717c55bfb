"""Where MNIST and CIFAR-10 are looked for, and kept once downloaded."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import UsageError

VARIABLE = "LANDSCAPE_DATA"


def data_folder(data_dir: str | Path | None = None) -> Path:
    """Return the folder of data sets: `data_dir`, else $LANDSCAPE_DATA, else the user's cache; the first named is it.

    Only that one is searched, so that a folder named on purpose is never silently replaced by another. Raises
    UsageError where a named folder does not exist: it is more often mistyped than new.
    """
    if data_dir is not None:
        folder, named = Path(data_dir).expanduser(), "--data-dir"
    elif os.environ.get(VARIABLE):
        folder, named = Path(os.environ[VARIABLE]).expanduser(), f"${VARIABLE}"
    else:
        import pooch  # takes a tenth of a second, and digits need none of it

        return Path(pooch.os_cache("landscape"))
    if not folder.is_dir():
        raise UsageError(
            f"{named} names {folder}, which is no folder; make it with mkdir -p, or name none to use the user cache"
        )
    return folder
