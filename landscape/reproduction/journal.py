"""What a job's log tells: the words and the version that it was run with, how long it took, and why it failed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .. import __version__

_HEAD = re.compile(r"^\$ (?P<typed>.*)  # landscape (?P<version>\S+)$")
_DONE = re.compile(r"^# done in (?P<seconds>[\d.]+) s, (?P<cpu>[\d.]+) s of CPU$")
_FAILED = re.compile(r"^# exit code (?P<code>-?\d+)$")


@dataclass(frozen=True)
class Entry:
    """The last run in a log; a number that it does not tell is None."""

    typed: str
    version: str
    seconds: float | None  # CPU
    code: int | None
    said: str  # its last words


def head(typed: str, version: str = __version__) -> str:
    """Return the line that a run begins its log with."""
    return f"$ {typed}  # landscape {version}"


def done(seconds: float, cpu: float) -> str:
    """Return the line that a run ends with."""
    return f"# done in {seconds:.1f} s, {cpu:.1f} s of CPU"


def failed(code: int) -> str:
    """Return the line that a run ends with where it failed."""
    return f"# exit code {code}"


def last_entry(log: Path) -> Entry | None:
    """Return the last run in a log, or None where there is none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    starts = [(number, match) for number, line in enumerate(lines) if (match := _HEAD.match(line))]
    if not starts:
        return None
    start, match = starts[-1]
    seconds = code = None
    said = ""
    for line in lines[start + 1 :]:
        if ended := _DONE.match(line):
            seconds = float(ended["cpu"])
        elif ended := _FAILED.match(line):
            code = int(ended["code"])
        elif line.strip():
            said = line.strip()
    return Entry(match["typed"], match["version"], seconds, code, said)
