"""`landscape reproduce`: the figures of the paper from nothing, by a workflow that goes on where it was left."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import options
from ..errors import LandscapeError, UsageError
from ..terminal import print_table, say, warn

if TYPE_CHECKING:
    from ..reproduction import Job
    from ..reproduction.workflow import Run

PROFILES = "digits, mnist, paper"


@click.command(epilog="Example: landscape reproduce fig1 fig2 --profile digits --cores 2 --dry-run")
@click.argument("figures", metavar="[FIGURE...]", nargs=-1)
@click.option("--profile", default="digits", show_default=True, metavar="NAME", help=f"{PROFILES}, or one of yours.")
@click.option("--cores", type=click.IntRange(1), default=1, show_default=True, help="Jobs at a time.")
@click.option("--executor", default="local", show_default=True, help="Of Snakemake: local, slurm, ...")
@click.option("--workflow-profile", type=options.PATH, metavar="DIR", help="Snakemake's: partition, memory, GPUs.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and how long it would take.")
@click.option("--partial", is_flag=True, help="Compute nothing: draw from what is there, stamped as partial.")
@click.option("--settings", type=options.PATH, metavar="FILE.toml", help="In place of the paper.toml that ships.")
@click.option("--out", type=options.PATH, metavar="DIR", help="Folder of the run.  [default: reproduce/PROFILE]")
@click.option(
    "--data-dir", type=options.PATH, help="Folder of the data sets.  [default: $LANDSCAPE_DATA, else a cache]"
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(
    figures: tuple[str, ...],
    profile: str,
    cores: int,
    executor: str,
    workflow_profile: Path | None,
    dry_run: bool,
    partial: bool,
    settings: Path | None,
    out: Path | None,
    data_dir: Path | None,
    quiet: bool,
) -> None:
    """Make each FIGURE (fig1 fig2 fig3 fig4 figC table1 scattering collapse, or all): train, analyse, draw.

    Each profile's settings stand in paper.toml. What is done is kept: after Ctrl-C, a crash or a change of settings the
    same command makes what is missing or stale, and nothing else. A figure some of whose inputs could not be made is
    drawn from the others, and says so. Exit code 1: something could not be made.
    """
    from ..reproduction import Plan, read_profile
    from ..reproduction.settings import shipped
    from ..reproduction.workflow import Run, check_installed

    source = (settings or shipped()).resolve()
    plan = Plan.of(read_profile(source, profile))
    drawings = plan.drawings(figures)
    folder = (out or Path("reproduce") / profile).resolve()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {out} is a file; name the folder of the run")
    if data_dir is not None:
        os.environ["LANDSCAPE_DATA"] = str(data_dir.resolve())
    extra = ("--workflow-profile", str(workflow_profile.resolve())) if workflow_profile else ()
    run = Run(plan, source, folder, cores, executor, extra)
    jobs = plan.needed(drawings)
    if partial:
        _finish(run, drawings, anew=True, quiet=quiet)
        return
    check_installed(executor)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LandscapeError(f"{folder} cannot be made ({error.strerror}); name another place with --out") from error
    if old := run.older(jobs):
        shown = ", ".join(f"{job.out} (landscape {version})" for job, version in old[:3])
        more = f" and {len(old) - 3} more" if len(old) > 3 else ""
        warn(f"caution: made by another version, and taken as they are: {shown}{more}; remove them to make them anew")
    outs = [job.out for job in drawings]
    if dry_run:
        _tell(run, run.stale(outs), len(jobs))
        return
    if not quiet:
        again = run.unfinished(jobs)
        _announce(run, [job for job in jobs if job in again or not (folder / job.out).exists()], len(jobs))
        sys.stdout.flush()  # hours may pass until the next word
    try:
        code = run.execute(outs)
    except KeyboardInterrupt as interruption:
        raise KeyboardInterrupt("interrupted; what is done is kept, and the same command goes on") from interruption
    if code and not run.failures(jobs):
        raise LandscapeError(f"Snakemake has failed: {run.why_it_failed()}")
    _finish(run, drawings, quiet=quiet)


def _tell(run: Run, stale: Sequence[Job], total: int) -> None:
    """Print the plan: the jobs of each stage, an example of each, and the time."""
    from ..reproduction.forecast import forecast, in_words

    rows = []
    for stage in run.plan.profile.stages:
        own = [job for job in stale if job.stage is stage]
        if own:
            seconds = forecast(own, run.plan, run.folder, cores=1).seconds
            rows.append([stage.name, stage.run or f"figures/{stage.draw}.py", str(len(own)), in_words(seconds)])
    if not rows:
        say(f"nothing is to be done: all {total} files of {run.plan.profile.name} are there and up to date")
        return
    print_table(f"{run.plan.profile.name}: {run.plan.profile.about}", ["stage", "command", "jobs", "CPU"], rows)
    for name in dict.fromkeys(job.stage.name for job in stale):
        typed = next(job for job in stale if job.stage.name == name).typed
        say(f"{name}, such as: {typed if len(typed) < 400 else typed[:400] + ' ...'}")
    _announce(run, stale, total)


def _announce(run: Run, jobs: Sequence[Job], total: int) -> None:
    from ..reproduction.forecast import forecast, in_words

    expected = forecast(jobs, run.plan, run.folder, cores=run.cores)
    cores = "1 core" if run.cores == 1 else f"{run.cores} cores"
    measured = f"{expected.measured} of {len(jobs)} by jobs of their stage that are done here, the others by paper.toml"
    say(
        f"{len(jobs)} of {total} jobs are to be done: about {in_words(expected.wall)} on {cores}, "
        f"{in_words(expected.seconds)} of CPU ({measured}: {run.plan.profile.clock})"
    )


def _finish(run: Run, drawings: Sequence[Job], *, anew: bool = False, quiet: bool = False) -> None:
    """Say what was made and what failed, and draw what could not be made whole from what is there; exit 1 for any."""
    from ..reproduction.drawing import draw_partial

    failures = run.failures(run.plan.needed(drawings))
    reasons: dict[str, list[str]] = {}
    for job, reason in failures:
        if job not in drawings:
            reasons.setdefault("the disk is full" if "disk is full" in reason else reason, []).append(job.out)
    for reason, outs in reasons.items():
        more = f" and {len(outs) - 1} more" if len(outs) > 1 else ""
        warn(f"{outs[0]}{more} could not be made: {reason}")
    failed = [job for job, _ in failures]
    lacking = False
    for job in drawings:
        if anew or job in failed or job.missing(run.folder) or not (run.folder / job.out).exists():
            told, whole = draw_partial(run, job)
            lacking = lacking or not whole
            warn(told)
        elif not quiet:
            say(f"{job.stage.figure}: {run.folder / job.out}")
    if lacking:
        way = "without --partial the rest is computed" if anew else "the same command tries again"
        raise LandscapeError(f"not everything could be made; {way}")
