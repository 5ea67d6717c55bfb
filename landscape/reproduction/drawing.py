"""A figure from the part of its inputs that is there, stamped as such."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from .graph import Job
from .workflow import Run


def draw_partial(run: Run, job: Job) -> tuple[str, bool]:
    """Draw a figure from those of its inputs that are there, with a stamp that says how many.

    Returns a sentence that says what came of it, and whether the figure is whole.
    """
    halves = {each.out for each in run.unfinished([run.plan.by_out[out] for out in job.made_by])}
    absent = job.missing(run.folder)
    makers = zip(job.takes, job.makers, strict=True)
    missing = [path for path, maker in makers if path in absent or maker in halves]
    there = len(job.takes) - len(missing)
    if job.takes and not there:
        return f"{job.out} cannot be drawn: none of its {len(missing)} inputs is there", False
    stamp = ["--stamp", f"partial: {there} of {len(job.takes)} inputs"] if missing else []
    done = subprocess.run(
        [*_without(job.argv, missing), *stamp], cwd=run.folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1].removeprefix("Error: ")
        return f"{job.out} cannot be drawn from {there} of its {len(job.takes)} inputs: {said}", False
    if not missing:
        return f"{job.out} is drawn from all of its {there} inputs", True
    shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    return f"{job.out} is drawn from {there} of its {len(job.takes)} inputs ({shown} missing), and says so", False


def _without(words: Sequence[str], missing: Sequence[str]) -> list[str]:
    """Return a command without some of its files, and without the options that named them."""
    kept: list[str] = []
    for word in words:
        if word not in missing:
            kept.append(word)
        elif kept and kept[-1].startswith("--"):
            kept.pop()
    return kept
