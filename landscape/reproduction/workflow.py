"""Snakemake, started and understood: one run at a time in a folder, its chatter in a file, failures in sentences."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..errors import LandscapeError
from . import journal
from .graph import Job, Plan
from .settings import shipped

CHATTER = "snakemake.log"
LITTLE = 2**20  # bytes that are left on a disk that is full
_INSTALL = "type: pip install 'landscape[reproduce]' (in a checkout: pip install -c constraints.txt -e '.[reproduce]')"


@dataclass(frozen=True)
class Run:
    """One profile in one folder: what Snakemake is told."""

    plan: Plan
    settings: Path
    folder: Path
    cores: int = 1
    executor: str = "local"
    extra: tuple[str, ...] = ()  # more words for Snakemake

    def command(self, outs: Sequence[str], *, also: Sequence[str] = ()) -> list[str]:
        """Return Snakemake's command line for some outputs."""
        words = [sys.executable, "-m", "snakemake", "--snakefile", str(shipped().with_name("Snakefile"))]
        words += ["--directory", str(self.folder), "--nolock", "--rerun-incomplete", "--keep-incomplete"]
        words += ["--keep-going", "--rerun-triggers", "mtime", "params", "input", "--quiet", "rules", "host"]
        words += ["--config", f"settings={self.settings}", f"profile={self.plan.profile.name}"]
        words += ["--executor", self.executor]
        words += ["--cores" if self.executor == "local" else "--jobs", str(self.cores)]
        if again := [job.out for job in self.unfinished(self.plan.needed(self.plan.by_out[out] for out in outs))]:
            words += ["--forcerun", *again]
        return [*words, *self.extra, *also, "--", *outs]

    def unfinished(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs whose output is there although their last run failed or was killed.

        Snakemake has its own marks of them, which it cannot set where the disk is full.
        """
        found = []
        for job in jobs:
            entry = journal.last_entry(self.folder / job.log)
            if entry is not None and entry.seconds is None and (self.folder / job.out).exists():
                found.append(job)
        return found

    def stale(self, outs: Sequence[str]) -> list[Job]:
        """Return the jobs that Snakemake would do for some outputs, in the plan's order."""
        done = self._ask(outs, ["--dry-run", "--quiet", "host", "--printshellcmds"])
        text = done.stdout + done.stderr
        if done.returncode:
            raise LandscapeError(f"Snakemake cannot plan this: {_reason(text)}")
        wanted = {line.strip() for line in text.splitlines()}
        rules = {line.removesuffix(":").split()[-1] for line in wanted if line.split()[:1] in (["rule"], ["localrule"])}
        return [job for job in self.plan.jobs if job.rule in rules]

    def _ask(self, outs: Sequence[str], also: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(outs, also=also), capture_output=True, text=True, check=False, env=self._environment()
        )

    def execute(self, outs: Sequence[str]) -> int:
        """Make some outputs, and return Snakemake's exit code; what it says goes to snakemake.log.

        Snakemake and its jobs hear of an interruption once, from here, whoever sent it; KeyboardInterrupt is raised
        when they have saved what they have and ended.
        """
        with self._alone() as lock, (self.folder / CHATTER).open("w", encoding="utf-8") as chatter:
            process = subprocess.Popen(
                self.command(outs),
                stdin=subprocess.DEVNULL,
                stdout=chatter,
                stderr=chatter,
                pass_fds=[lock],
                env=self._environment(),
                start_new_session=True,  # a group of its own: the terminal's Ctrl-C does not reach it a second time
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,  # whatever nohup has set
            )
            interrupted = False
            while True:
                try:
                    code = process.wait()
                    break
                except KeyboardInterrupt:
                    interrupted = True
                    os.killpg(process.pid, signal.SIGINT)
            if interrupted:
                raise KeyboardInterrupt
            return code

    def _environment(self) -> dict[str, str]:
        own = dict(os.environ)
        if data := own.get("LANDSCAPE_DATA"):
            own["LANDSCAPE_DATA"] = str(Path(data).resolve())  # jobs run in the folder of the run
        return own

    @contextlib.contextmanager
    def _alone(self) -> Iterator[int]:
        """Hold the folder's lock, which Snakemake inherits: it lasts as long as either lives, and no longer."""
        with (self.folder / ".running").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LandscapeError(f"another run is at work in {self.folder}; wait for it, or end it") from None
            yield file.fileno()

    def failures(self, jobs: Sequence[Job]) -> list[tuple[Job, str]]:
        """Return the jobs whose last run failed, with the sentence that it ended in; half of a figure may be there."""
        found = []
        for job in jobs:
            entry = journal.last_entry(self.folder / job.log)
            if entry is not None and entry.code is not None:
                found.append((job, entry.said.removeprefix("Error: ") or f"exit code {entry.code}"))
        return found

    def older(self, jobs: Sequence[Job]) -> list[tuple[Job, str]]:
        """Return the jobs whose outputs are there and were made by another version, with that version."""
        found = []
        for job in jobs:
            entry = journal.last_entry(self.folder / job.log)
            if entry is not None and entry.version != __version__ and (self.folder / job.out).exists():
                found.append((job, entry.version))
        return found

    def why_it_failed(self) -> str:
        """Say why Snakemake itself has failed."""
        if shutil.disk_usage(self.folder).free < LITTLE:
            return f"the disk of {self.folder} is full"
        with contextlib.suppress(OSError):
            return _reason((self.folder / CHATTER).read_text(encoding="utf-8", errors="replace"))
        return f"it left nothing in {self.folder / CHATTER}"


def check_installed(executor: str = "local") -> None:
    """Raise LandscapeError unless Snakemake is there, and what speaks for its executor."""
    if importlib.util.find_spec("snakemake") is None:
        raise LandscapeError(f"landscape reproduce runs on Snakemake, which is not installed; {_INSTALL}")
    plugin = f"snakemake_executor_plugin_{executor.replace('-', '_')}"
    if executor not in ("local", "dryrun") and importlib.util.find_spec(plugin) is None:
        package = plugin.replace("_", "-")
        raise LandscapeError(f"Snakemake has no executor {executor!r} here; type: pip install {package}")


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line or "Exception" in line]
    return (errors or lines or ["it said nothing"])[-1]
