"""What the environment says of a launcher: whether torchrun started this process as one of several. No torch here."""

from __future__ import annotations

import os


def launched() -> bool:
    """Say whether this process was started as one of several."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def follows() -> bool:
    """Say whether another process of the same run speaks for this one."""
    return launched() and os.environ["RANK"] != "0"
