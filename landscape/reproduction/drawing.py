"""A figure from the part of its inputs that is there, stamped as such."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from .graph import Job
from .workflow import Run


def draw_partial(run: Run, job: Job) -> str:
    """Draw a figure from those of its inputs that are there, with a stamp that says how many; return a sentence."""
    missing = job.missing(run.folder)
    there = len(job.takes) - len(missing)
    if job.takes and not there:
        return f"{job.out} cannot be drawn: none of its {len(missing)} inputs is there"
    stamp = f"partial: {there} of {len(job.takes)} inputs" if missing else ""
    done = subprocess.run(
        [*_without(job.argv, missing), *(["--stamp", stamp] if stamp else [])],
        cwd=run.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return f"{job.out} cannot be drawn from {there} of its {len(job.takes)} inputs: {said.removeprefix('Error: ')}"
    lacking = f" ({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''} missing)" if missing else ""
    return f"{job.out} is drawn from {there} of its {len(job.takes)} inputs{lacking}, and says so"


def _without(words: Sequence[str], missing: Sequence[str]) -> list[str]:
    """Return a command without some of its files, and without the options that named them."""
    kept: list[str] = []
    for word in words:
        if word not in missing:
            kept.append(word)
        elif kept and kept[-1].startswith("--"):
            kept.pop()
    return kept
