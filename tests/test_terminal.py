"""What a terminal shows, and what a file or a pipe gets instead."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

import pytest

from landscape import terminal
from landscape.terminal import Interruption, print_pairs, print_table, progress, say


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, TextIO]]:
    """The two ends of a terminal: what it has shown is read from the first, the second is what a program writes to."""
    ours, theirs = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    with open(theirs, "w", encoding="utf-8") as program_end:
        yield ours, program_end
    os.close(ours)


def shown(screen: int) -> str:
    """Return what the terminal has shown, without its colours and its movements."""
    content = b""
    while select.select([screen], [], [], 0.2)[0]:
        content += os.read(screen, 65536)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", content.decode())


def test_a_terminal_shows_the_stage_its_share_and_the_time_left(
    screen: tuple[int, TextIO], capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.redirect_stderr(screen[1]), progress(prefix="net.pt: ") as report:
        for done in range(4):
            report("attack", 100 * done, 400)
        time.sleep(0.3)  # the bar is drawn ten times a second
        report("eigenpairs", 1, 20)
        say("on standard output, wherever the bar is")
    text = shown(screen[0])
    assert re.search(r"net\.pt: attack +.* 300/400 +\d:\d\d:\d\d left +(\d:\d\d:\d\d|-:--:--)", text)
    assert re.search(r"net\.pt: eigenpairs +.* 1/20 ", text)
    assert "wherever" not in text
    assert capsys.readouterr().out == "on standard output, wherever the bar is\n"


def test_a_file_gets_no_bar_and_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as report:
        report("attack", 1, 2)
        report("attack", 2, 2)
    assert capsys.readouterr() == ("", "")


def test_verbose_tells_stages_and_what_the_library_logs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 70.0, 75.0, 80.0, 90.0, 99.5])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(now))
    with progress(verbose=True, prefix="[net]: ") as report:
        report("attack", 1, 2_000)
        report("attack", 1_000, 2_000)
        logging.getLogger("landscape.curvature").info("memory ran out; [going] on")
        report("attack", 2_000, 2_000)
        report("download", 5, 0)
    logging.getLogger("landscape.curvature").info("not any more")
    assert capsys.readouterr().err.splitlines() == [
        "[net]: attack: 1,000 of 2,000 after 70 s",
        "[net]: memory ran out; [going] on",
        "[net]: attack: 2,000 of 2,000 in 90.0 s",
        "[net]: download: 5 in 19.5 s",
    ]


def test_quiet_wins_over_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=True, verbose=True) as report:
        report("attack", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_an_interruption_waits_for_the_next_report_or_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    steps = []
    with pytest.raises(Interruption), progress() as report:
        os.kill(os.getpid(), signal.SIGTERM)
        steps.append("the step in hand")
        report("attack", 1, 2)
        steps.append("the next")
    with pytest.raises(Interruption), progress() as report:
        os.kill(os.getpid(), signal.SIGTERM)
        steps.append("the last step")
    assert steps == ["the step in hand", "the last step"]
    assert capfd.readouterr().err == 2 * "finishing the step in hand; once more to stop at once\n"


def test_a_second_interruption_stops_at_once() -> None:
    with pytest.raises(KeyboardInterrupt, match="interrupted at once") as caught, progress():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("it went on")
    assert not isinstance(caught.value, Interruption)


def test_a_failure_is_not_hidden_by_an_interruption() -> None:
    with pytest.raises(ZeroDivisionError), progress():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ZeroDivisionError


def test_a_job_that_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with progress() as report:
            os.kill(os.getpid(), signal.SIGINT)
            report("attack", 1, 2)
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_leaves_the_signals_alone() -> None:
    stages = []

    def work() -> None:
        with progress() as report:
            report("attack", 1, 2)
            stages.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert stages == ["done"]


def test_tables_and_pairs_are_whole_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    file = io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    wide = [str(number) * 24 for number in range(6)]
    print_table("a title", list("abcdef"), [wide])
    print_pairs([("command", "landscape hessian " + "x" * 200), ("eps", "[0.1]")])
    lines = [line.strip() for line in file.getvalue().splitlines()]
    assert "   ".join(wide) in lines
    assert "command  landscape hessian " + "x" * 200 in lines
    assert "eps      [0.1]" in lines
