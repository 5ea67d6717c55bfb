"""Result files: what they hold (schema), how they are written and read (store), where they come from (provenance)."""

from __future__ import annotations

from .caveats import caveats, concerns, is_collapsed
from .describe import describe, table
from .growing import GrowingResult, growing_progress, is_growing
from .kinds import KINDS
from .provenance import command_line, default_path, provenance, settings_hash
from .result import Result
from .schema import SCHEMA_VERSION
from .snapshots import Snapshot, is_snapshot_of, read_snapshot, snapshot_path, write_snapshot
from .store import read_kind, read_result

__all__ = [
    "KINDS",
    "SCHEMA_VERSION",
    "GrowingResult",
    "Result",
    "Snapshot",
    "caveats",
    "command_line",
    "concerns",
    "default_path",
    "describe",
    "growing_progress",
    "is_collapsed",
    "is_growing",
    "is_snapshot_of",
    "provenance",
    "read_kind",
    "read_result",
    "read_snapshot",
    "settings_hash",
    "snapshot_path",
    "table",
    "write_snapshot",
]
