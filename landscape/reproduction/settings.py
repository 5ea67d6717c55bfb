"""The settings of a profile, read from paper.toml and held to the options that the commands really have."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ..cli import COMMANDS
from ..errors import LandscapeError, UsageError
from ..spec import nearest

TARGETS = ("fig1", "fig2", "fig3", "fig4", "figC", "table1", "scattering", "collapse")
ALL = "all"

Axis = Sequence[Any]  # of numbers, words, or tables {name = value}


@dataclass(frozen=True)
class Stage:
    """One table of a profile: a command, the grid it is run over, what it takes, and what it writes.

    `run` names a landscape command, `draw` a script in figures/. In `takes`, `out` and `options`, {name} stands for the
    value of an axis of `over`; a pattern with * in `takes` stands for all that earlier stages write under such names.
    """

    name: str
    out: str
    run: str = ""
    draw: str = ""
    figure: str = ""  # of a drawing: the target that it belongs to
    over: Mapping[str, Axis] = field(default_factory=dict)
    takes: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    also: Mapping[str, Sequence[str]] = field(default_factory=dict)  # options that take files: holdout = ["*.h5"]
    seconds: float = 5.0  # CPU seconds of one job, on the machine that the profile's `clock` names
    source: str = ""  # where the design comes from, for whoever reads the file

    @property
    def command(self) -> click.Command:
        """The click command that the stage runs."""
        module = f"landscape.commands.{self.run}" if self.run else f"landscape.figures.{self.draw}"
        found: click.Command = getattr(importlib.import_module(module), "command" if self.run else "main")
        return found


@dataclass(frozen=True)
class Profile:
    """A profile: what it is for, what its `seconds` were measured on and how well, and its stages in their order."""

    name: str
    about: str
    clock: str
    stages: tuple[Stage, ...]


def shipped() -> Path:
    """Return the paper.toml that comes with the package, beside the figures' scripts."""
    return Path(str(importlib.import_module("landscape.figures").__path__[0])) / "paper.toml"


def read_profile(path: Path, name: str) -> Profile:
    """Read one profile of a settings file; raise LandscapeError, naming the place, for whatever no command takes."""
    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LandscapeError(f"{path} cannot be read ({error.strerror}); give another --settings") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LandscapeError(f"{path} is no TOML ({error}); repair it, or leave --settings out") from error
    profiles = {key: value for key, value in held.items() if isinstance(value, dict)}
    if name not in profiles:
        raise UsageError(f"no profile {name!r} in {path.name}; {nearest(name, profiles)}")
    table = dict(profiles[name])
    about, clock = str(table.pop("about", "")), str(table.pop("clock", ""))
    stages: dict[str, Stage] = {}
    for key, entry in table.items():
        where = f"{path.name}: {name}.{key}"
        if not isinstance(entry, dict):
            raise UsageError(f"{where} is a setting that nothing takes; a profile has about, clock, and stages [{key}]")
        stages[key] = _stage(where, key, entry, stages)
    for stage in stages.values():
        _check_options(f"{path.name}: {name}.{stage.name}", stage)
    return Profile(name, about, clock, tuple(stages.values()))


def _stage(where: str, key: str, entry: Mapping[str, Any], known: Mapping[str, Stage]) -> Stage:
    entry = dict(entry)
    like = entry.pop("like", None)
    if like is not None:
        if like not in known:
            raise UsageError(f"{where} is like {like!r}, which is no earlier stage; {nearest(str(like), known)}")
        base = known[like]
        inherited = {word: getattr(base, word) for word in _WORDS if getattr(base, word)}
        options = {**base.options, **entry.get("options", {})}
        entry = {**inherited, **entry, "options": options}
    for word in entry:
        if word not in _WORDS:
            raise UsageError(f"{where} has {word!r}, which no stage takes; {nearest(word, _WORDS)}")
    if bool(entry.get("run")) == bool(entry.get("draw")) or not entry.get("out"):
        raise UsageError(f"{where} wants run (a landscape command) or draw (a script in figures/), and out")
    stage = Stage(key, **entry)
    if stage.run and stage.run not in COMMANDS:
        raise UsageError(f"{where} runs {stage.run!r}, which is no command; {nearest(stage.run, COMMANDS)}")
    if stage.draw and stage.figure not in TARGETS:
        raise UsageError(f"{where} draws for the figure {stage.figure!r}; wanted {', '.join(TARGETS)}")
    try:
        _ = stage.command
    except ModuleNotFoundError as error:
        raise UsageError(f"{where} draws with {stage.draw!r}, which is no script in figures/") from error
    return stage


def _check_options(where: str, stage: Stage) -> None:
    known = {
        flag.removeprefix("--"): parameter
        for parameter in stage.command.params
        if isinstance(parameter, click.Option)
        for flag in (*parameter.opts, *parameter.secondary_opts)
        if flag.startswith("--")
    }
    tables = [value for axis in stage.over.values() for value in axis if isinstance(value, dict)]
    extra = [table.get("options", {}) for table in tables]
    for options in (stage.options, stage.also, *extra):
        for name in options:
            if name not in known or name in ("out", "overwrite"):
                said = f"landscape {stage.run}" if stage.run else f"figures/{stage.draw}.py"
                own = "the workflow's own" if name in known else "which it does not take"
                hint = f"; {nearest(name, known)}" if name not in known else ""
                raise UsageError(f"{where}: {said} is given {name!r}, {own}{hint}")


_WORDS = ("run", "draw", "figure", "over", "takes", "out", "options", "also", "seconds", "source")
