"""The stages of a profile as a graph of jobs: one for each point of a stage's grid, with its words and its files."""

from __future__ import annotations

import itertools
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from ..spec import nearest
from .settings import ALL, TARGETS, Profile, Stage

# What `landscape train` writes beside NAME.pt; Snakemake is told of NAME.pt alone, since it removes the declared files
# of an unfinished job, and these are what a run goes on from.
_BESIDE = re.compile(r"^(?P<stem>.+?)(-best|-ema|-epoch\d+)?(\.traces\.h5|\.pt)$")


@dataclass(frozen=True)
class Job:
    """One command: the file it writes, the files it reads, by whom those are made, and its words."""

    stage: Stage
    out: str
    takes: tuple[str, ...]
    makers: tuple[str | None, ...]  # of each of these, the output of the job that makes it; None: nobody
    words: tuple[str, ...]

    @property
    def made_by(self) -> list[str]:
        """The outputs of the jobs that it waits for, each once."""
        return list(dict.fromkeys(maker for maker in self.makers if maker is not None))

    def missing(self, folder: Path) -> list[str]:
        """Return what it takes and is not there; what an unfinished job has left is not there either."""
        found = []
        for path, maker in zip(self.takes, self.makers, strict=True):
            a_file = maker is not None or Path(path).is_absolute()  # else a net that ships
            if a_file and not all((folder / each).exists() for each in (path, maker or path)):
                found.append(path)
        return found

    @property
    def inputs(self) -> list[str]:
        """The files whose change makes the job stale: those of other jobs, and those of the user's own."""
        return [*self.made_by, *(path for path in self.takes if Path(path).is_absolute())]

    @property
    def typed(self) -> str:
        """The command as one would type it in the folder of the run."""
        return shlex.join(self.words)

    @property
    def argv(self) -> list[str]:
        """The same, started by the Python that runs us."""
        return argv_of(self.words)

    @property
    def rule(self) -> str:
        """A name that Snakemake takes."""
        return re.sub(r"\W", "_", f"{self.stage.name}__{self.out}")

    @property
    def log(self) -> str:
        """Where what it says is kept."""
        return f"logs/{self.out}.log"


@dataclass(frozen=True)
class Plan:
    """All jobs of a profile, in an order in which they can be done."""

    profile: Profile
    jobs: tuple[Job, ...]

    @classmethod
    def of(cls, profile: Profile) -> Plan:
        """Expand the stages of a profile; raise UsageError for what no command could be given."""
        found: dict[str, Job] = {}
        for stage in profile.stages:
            for case in _cases(stage):
                job = _job(stage, case, found, profile.name)
                if job.out in found:
                    raise UsageError(f"{profile.name}.{stage.name} writes {job.out} twice; name all its axes in out")
                found[job.out] = job
        return cls(profile, tuple(found.values()))

    @cached_property
    def by_out(self) -> dict[str, Job]:
        """The jobs by the file that they write."""
        return {job.out: job for job in self.jobs}

    def drawings(self, targets: Sequence[str]) -> list[Job]:
        """Return the jobs that draw the figures asked for; raise UsageError for one that the profile has not."""
        known = [name for name in TARGETS if any(job.stage.figure == name for job in self.jobs)]
        for name in targets:
            if name not in (*known, ALL):
                hint = nearest(name, [*known, ALL])
                raise UsageError(f"no figure {name!r} in the profile {self.profile.name}; {hint}")
        asked = set(known if ALL in targets or not targets else targets)
        return [job for job in self.jobs if job.stage.figure in asked]

    def needed(self, jobs: Iterable[Job]) -> list[Job]:
        """Return these jobs and all that they stand on, in the plan's order."""
        wanted, queue = set(), [job.out for job in jobs]
        while queue:
            out = queue.pop()
            if out not in wanted:
                wanted.add(out)
                queue += self.by_out[out].made_by
        return [job for job in self.jobs if job.out in wanted]


def argv_of(words: Sequence[str]) -> list[str]:
    """Return a job's words as a command of the Python that runs us: `landscape train`, or `python figures/x.py`."""
    module = "landscape" if words[0] == "landscape" else f"landscape.figures.{Path(words[1]).stem}"
    return [sys.executable, "-m", module, *words[1 if words[0] == "landscape" else 2 :]]


def _cases(stage: Stage) -> Iterator[dict[str, Any]]:
    """Yield the values of each point of the grid; a table among an axis's values brings several, and options too."""
    axes = [
        [value if isinstance(value, dict) else {name: value} for value in axis] for name, axis in stage.over.items()
    ]
    for point in itertools.product(*axes):
        case: dict[str, Any] = {"options": {}}
        for table in point:
            case["options"] |= table.get("options", {})
            case |= {key: value for key, value in table.items() if key != "options"}
        yield case


def _job(stage: Stage, case: Mapping[str, Any], earlier: Mapping[str, Job], profile: str) -> Job:
    where = f"paper.toml: {profile}.{stage.name}"
    out = _filled(stage.out, case, where)

    def gather(patterns: Sequence[str]) -> list[tuple[str, str | None]]:
        return [pair for one in patterns for pair in _matching(_filled(one, case, where), earlier, where)]

    pairs = gather(stage.takes)
    words = ["landscape", stage.run] if stage.run else ["python", f"figures/{stage.draw}.py"]
    words += [path for path, _ in pairs]
    for name, patterns in stage.also.items():
        for pair in gather(patterns):
            words += [f"--{name}", pair[0]]
            pairs.append(pair)
    for name, value in {**stage.options, **case["options"]}.items():
        if isinstance(value, bool):
            words += _flag(stage, name, value)
        else:
            words += [f"--{name}", _filled(str(value), case, where)]
    words += ["--out" if stage.run else "-o", out]
    _parse(stage, words[2:], where)
    takes, makers = tuple(path for path, _ in pairs), tuple(maker for _, maker in pairs)
    return Job(stage, out, takes, makers, tuple(words))


def _matching(pattern: str, earlier: Mapping[str, Job], where: str) -> list[tuple[str, str | None]]:
    """Return (file, the output of the job that makes it) for a pattern; nobody makes /a/file and a shipped net."""
    plain = re.fullmatch(r"[^*?[]+", pattern) is not None
    matched = [(path, path) for path in earlier if fnmatchcase(path, pattern)]
    if not matched and (beside := _BESIDE.match(pattern)):
        ending = pattern[len(beside["stem"]) :]
        makers = [path for path, job in earlier.items() if job.stage.run == "train"]
        matched = [
            (path.removesuffix(".pt") + ending, path) for path in makers if fnmatchcase(path, f"{beside['stem']}.pt")
        ]
    if matched:
        return [(path, maker) for path, maker in matched]
    if plain and (Path(pattern).is_absolute() or Path(pattern).suffix not in (".pt", ".h5")):
        return [(pattern, None)]
    raise UsageError(f"{where} takes {pattern}, which no earlier stage writes; name one of theirs, or a file by /PATH")


def _flag(stage: Stage, name: str, value: bool) -> list[str]:
    """Return the words that set a flag: `--no-adequacy` for false where there is such, and else none."""
    options = [parameter for parameter in stage.command.params if f"--{name}" in parameter.opts]
    return [f"--{name}"] if value else [flag for option in options for flag in option.secondary_opts]


def _filled(text: str, case: Mapping[str, Any], where: str) -> str:
    try:
        return text.format_map({name: value for name, value in case.items() if name != "options"})
    except (KeyError, IndexError, ValueError) as error:
        raise UsageError(f"{where} names {{{error}}} in {text!r}, which is no axis of its grid (over)") from error


def _parse(stage: Stage, words: Sequence[str], where: str) -> None:
    """Let click read the words as it will when they run; raise UsageError with what it says."""
    try:
        stage.command.make_context(stage.run or stage.draw, list(words))
    except click.UsageError as error:
        raise UsageError(f"{where}: {error.format_message()}") from error
