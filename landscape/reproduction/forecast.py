"""What a run will take: the seconds of each job, from its own log where it has one, else from paper.toml."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import journal
from .graph import Job, Plan


@dataclass(frozen=True)
class Forecast:
    """CPU seconds of jobs, how many of them were measured here, and the time on some cores."""

    jobs: int
    measured: int  # by this folder's logs, of the same stage
    seconds: float  # of all jobs
    wall: float  # on the cores: no less than the longest chain of jobs that wait for each other


def forecast(jobs: Sequence[Job], plan: Plan, folder: Path, *, cores: int) -> Forecast:
    """Return what some jobs of a plan will take on a number of cores."""
    known = _measured(plan, folder)
    cost = {job.out: known.get(job.stage.name, job.stage.seconds) for job in jobs}
    total = sum(cost.values())
    measured = sum(job.stage.name in known for job in jobs)
    return Forecast(len(jobs), measured, total, max(total / cores, _longest(jobs, cost)))


def _measured(plan: Plan, folder: Path) -> dict[str, float]:
    """Return the median CPU seconds of each stage's finished jobs, by their logs."""
    found: dict[str, list[float]] = {}
    for job in plan.jobs:
        entry = journal.last_entry(folder / job.log)
        if entry is not None and entry.seconds is not None:
            found.setdefault(job.stage.name, []).append(entry.seconds)
    return {name: statistics.median(each) for name, each in found.items()}


def _longest(jobs: Sequence[Job], cost: Mapping[str, float]) -> float:
    ends: dict[str, float] = {}
    for job in jobs:  # in an order in which they can be done
        ends[job.out] = cost[job.out] + max((ends.get(made, 0.0) for made in job.made_by), default=0.0)
    return max(ends.values(), default=0.0)


def in_words(seconds: float) -> str:
    """Return a time as one says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
