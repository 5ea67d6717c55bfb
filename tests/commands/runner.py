"""The command line, called as a person calls it: words in; exit code, standard output and standard error out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from landscape.cli import main

# A Hessian that takes a fraction of a second.
SMALL = ("--top", "3", "--n-examples", "64")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def landscape(*words: str | Path) -> Outcome:
    """Run a command in this process; an exception that the command line does not explain is raised here."""
    done = CliRunner().invoke(main, [str(word) for word in words], prog_name="landscape")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Outcome(done.exit_code, done.stdout, done.stderr)


def contents(folder: Path) -> dict[Path, bytes]:
    """Return the bytes of every file under a folder, hidden ones and temporary ones included."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
