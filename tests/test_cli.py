"""The door of the command line: help at once, an example for every command, words for every mistake."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from landscape import __version__
from landscape.cli import COMMANDS, main
from landscape.errors import NotConverged
from tests.commands.runner import landscape


def test_help_lists_every_command_and_where_to_begin() -> None:
    done = landscape("--help")
    assert done.code == 0
    assert all(name in done.out for name in COMMANDS)
    assert "Begin with: landscape demo" in done.out
    assert landscape("--version").out == f"landscape, version {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example_that_it_understands(name: str) -> None:
    text = " ".join(landscape(name, "--help").out.split())
    assert f"Example: landscape {name}" in text
    words = shlex.split(text.partition("Example: landscape ")[2])
    with click.Context(main, **main.context_settings) as ctx:
        command = main.get_command(ctx, words[0])
        assert command is not None
        command.make_context(words[0], words[1:], parent=ctx)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_loads_neither_torch_nor_h5py(name: str) -> None:
    code = (
        "import contextlib, io, json, sys\n"
        "from landscape.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):\n"
        f"    main([{name!r}, '--help'], prog_name='landscape')\n"
        "print(json.dumps([text.getvalue(), [name for name in ('torch', 'h5py', 'scipy') if name in sys.modules]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    text, heavy = json.loads(done.stdout)
    assert f"Usage: landscape {name}" in text
    assert heavy == []


def test_python_m_landscape_is_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "landscape", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"landscape, version {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hesian", "x.pt"], "did you mean hessian?"),
        (["hessian"], "Missing argument 'CKPT...'"),
        (["hessian", "x.pt", "--tpo", "3"], "No such option"),
        (["plot"], "Missing argument 'FILE.h5...'"),
        (["info"], "Missing argument 'FILE'"),
        (["train", "--eps", "0", "--out", "x.pt"], "--model is missing; such as: landscape train --data digits"),
    ],
)
def test_wrong_usage_exits_with_2(words: list[str], said: str) -> None:
    done = landscape(*words)
    assert done.code == 2
    assert said in done.err


def raising(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (KeyboardInterrupt("interrupted; and so on"), 130, "interrupted; and so on\n"),
        (MemoryError(), 1, "Error: memory ran out; give a smaller --batch-size or --n-examples\n"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            1,
            "Error: memory ran out; give a smaller --batch-size or --n-examples\n",
        ),
        (NotConverged("2 of 3 pairs fell short"), 3, "Error: 2 of 3 pairs fell short\n"),
    ],
)
def test_exceptions_become_a_line_and_an_exit_code(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch  # noqa: F401  # only a process that has it can run out of a tensor's memory

    monkeypatch.setattr(main, "get_command", lambda ctx, name: raising(error))
    done = landscape("hessian")
    assert (done.code, done.err, done.out) == (code, said, "")


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "get_command", lambda ctx, name: raising(ZeroDivisionError("ours")))
    with pytest.raises(ZeroDivisionError, match="ours"):
        landscape("hessian")


def test_sigterm_before_any_work_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def terminated() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(main, "get_command", lambda ctx, name: terminated)
    done = landscape("hessian")
    assert (done.code, done.err) == (130, "terminated\n")
    assert signal.getsignal(signal.SIGTERM) == before
    assert not any(Path.cwd().iterdir())
