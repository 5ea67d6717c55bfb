"""Ctrl-C, SIGTERM, a second one, kill -9 and a full disk in the midst of a run: nothing lost, nothing half written."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from landscape import files
from landscape.commands import partial
from landscape.curvature import Lanczos
from landscape.curvature import evidence as evidence_module
from landscape.results import read_snapshot
from tests.commands.runner import SMALL, contents, landscape

WORDS = ("hessian", "tiny.pt", *SMALL, "--out", "x.h5")
LEFT = "what is saved is in x.h5.partial, and the same command resumes it"

DRIVER = """
import os, signal, sys, time
from landscape.cli import main
from landscape.commands import partial
from landscape.curvature import Lanczos

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may have been told to ignore it
partial.SECONDS_BETWEEN_WRITES = partial._SHARE = 0
step = Lanczos.step

def stepping(self):
    step(self)
    if self.products == 12:
        {what}

Lanczos.step = stepping
main(prog_name="landscape")
"""


def at_product(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> None:
    """Act in the midst of a solver's step: after the product, before its end."""
    step = Lanczos.step

    def stepping(self: Lanczos) -> None:
        step(self)
        if self.products == number:
            act()

    monkeypatch.setattr(Lanczos, "step", stepping)


def send(*numbers: int) -> Callable[[], None]:
    def act() -> None:
        for number in numbers:
            os.kill(os.getpid(), number)

    return act


def assert_equal_but_for_time(one: str | Path, other: str | Path) -> None:
    """Compare two files as plain HDF5: every array, every attribute."""
    with h5py.File(one) as a, h5py.File(other) as b:
        assert list(a) == list(b)
        for name in a:
            np.testing.assert_array_equal(a[name][()], b[name][()])
        assert list(a.attrs) == list(b.attrs)
        # The tests' own commands differ in --out, and in the folder that their net lies in.
        for name in set(a.attrs) - {"created", "wall_seconds", "command", "checkpoint_file"}:
            np.testing.assert_array_equal(a.attrs[name], b.attrs[name], err_msg=name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_is_saved_and_resumed(
    number: int, tiny: Path, measured: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        at_product(patch, 12, send(number))
        done = landscape(*WORDS)
    assert (done.code, done.err) == (130, f"interrupted; {LEFT}\n")
    assert capfd.readouterr().err == "finishing the step in hand; once more to stop at once\n"
    assert signal.getsignal(number) == before
    assert set(contents(Path())) == {Path("tiny.pt"), Path("x.h5.partial")}
    told = landscape("info", "x.h5.partial")
    assert told.code == 0
    assert "the command that began it resumes it" in told.out
    assert "eigenvalue 3" in told.out
    products: list[int] = []
    at_product(monkeypatch, 13, lambda: products.append(13))
    at_product(monkeypatch, 12, lambda: products.append(12))
    assert landscape(*WORDS).code == 0
    assert products == [13]  # it went on where it was
    assert_equal_but_for_time("x.h5", measured)
    assert set(contents(Path())) == {Path("tiny.pt"), Path("x.h5")}


def test_a_second_interruption_saves_no_state_that_is_half_made(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_product(monkeypatch, 12, send(signal.SIGINT, signal.SIGINT))
    done = landscape(*WORDS)
    assert (done.code, done.err) == (130, "interrupted at once; nothing was saved\n")
    assert set(contents(Path())) == {Path("tiny.pt")}


def test_a_second_interruption_keeps_what_was_saved_before(
    tiny: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(partial, "SECONDS_BETWEEN_WRITES", 0.0)
        patch.setattr(partial, "_SHARE", 0)
        at_product(patch, 12, send(signal.SIGINT, signal.SIGINT))
        done = landscape(*WORDS)
    assert (done.code, done.err) == (130, f"interrupted at once; {LEFT}\n")
    arrays, _ = read_snapshot("x.h5.partial")
    assert arrays["progress"][0] == 11  # the last whole step
    assert landscape(*WORDS).code == 0
    assert_equal_but_for_time("x.h5", measured)


def test_an_interruption_after_the_last_step_is_heeded_too(
    tiny: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is whole by then, and kept; the next checkpoint is not begun."""
    remove = partial.Partial.remove

    def removing(self: partial.Partial) -> None:
        remove(self)
        send(signal.SIGTERM)()

    monkeypatch.setattr(partial.Partial, "remove", removing)
    shutil.copy(tiny, "other.pt")
    done = landscape("hessian", tiny, "other.pt", *SMALL)
    assert (done.code, done.err) == (130, "interrupted\n")
    (path,) = Path("results").iterdir()
    assert_equal_but_for_time(path, measured)


def test_interrupted_after_the_solver_it_does_not_solve_again(
    tiny: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = evidence_module.directional_curvature

    def interrupted(*args: Any) -> Any:
        send(signal.SIGINT)()
        return evidence(*args)

    with monkeypatch.context() as patch:
        patch.setattr(evidence_module, "directional_curvature", interrupted)
        assert landscape(*WORDS).code == 130
    monkeypatch.setattr(Lanczos, "step", None)
    assert landscape(*WORDS).code == 0
    assert_equal_but_for_time("x.h5", measured)


def test_interrupted_before_anything_was_done_nothing_is_left(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from landscape.objective import Objective

    sent: list[int] = []

    def once(self: Objective, batch: Any, network: Any) -> Any:
        if not sent:
            sent.append(signal.SIGINT)
            send(signal.SIGINT)()
        return batch

    monkeypatch.setattr(Objective, "adversarial", once)
    done = landscape(*WORDS)
    assert (done.code, done.err) == (130, "interrupted; nothing was saved\n")
    assert set(contents(Path())) == {Path("tiny.pt")}


def test_an_interrupted_overwriting_is_resumed_and_the_old_file_kept_till_then(
    tiny: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = landscape(*WORDS, "--seed", "1")
    assert old.code == 0
    kept = Path("x.h5").read_bytes()
    Path("x.h5.partial").write_bytes(b"of other settings, or damaged")
    with monkeypatch.context() as patch:
        at_product(patch, 12, send(signal.SIGINT))
        assert landscape(*WORDS, "--overwrite").code == 130
    assert Path("x.h5").read_bytes() == kept
    assert landscape(*WORDS, "--overwrite").code == 0
    assert_equal_but_for_time("x.h5", measured)


def test_sigterm_from_outside_ends_the_process_with_130(tiny: Path) -> None:
    code = DRIVER.format(what="print('working', file=sys.stderr); time.sleep(2)")
    process = subprocess.Popen([sys.executable, "-c", code, *WORDS], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "working\n"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.endswith(f"interrupted; {LEFT}\n")
    assert set(contents(Path())) == {Path("tiny.pt"), Path("x.h5.partial")}


def test_a_killed_run_is_resumed_from_its_last_snapshot(tiny: Path, measured: Path) -> None:
    code = DRIVER.format(what="os.kill(os.getpid(), signal.SIGKILL)")
    killed = subprocess.run([sys.executable, "-c", code, *WORDS], capture_output=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert set(contents(Path())) == {Path("tiny.pt"), Path("x.h5.partial")}
    assert landscape(*WORDS).code == 0
    assert_equal_but_for_time("x.h5", measured)
    assert set(contents(Path())) == {Path("tiny.pt"), Path("x.h5")}


@pytest.mark.parametrize("harm", ["page", "empty", "truncated", "flipped"])
def test_a_damaged_snapshot_is_said_and_kept_unless_overwritten(
    harm: str, tiny: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_product(patch, 12, send(signal.SIGINT))
        landscape(*WORDS)
    snapshot = Path("x.h5.partial")
    whole = bytearray(snapshot.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 8] = bytes(byte ^ 255 for byte in whole[middle : middle + 8])
    damaged = {"page": b"<html>", "empty": b"", "truncated": bytes(whole[:middle]), "flipped": bytes(whole)}[harm]
    snapshot.write_bytes(damaged)
    done = landscape(*WORDS)
    assert done.code == 1
    assert done.err.startswith("Error: x.h5.partial is ")
    assert done.err.endswith("delete it to begin afresh\n")
    assert done.err.count("\n") == 1
    assert snapshot.read_bytes() == damaged
    assert landscape(*WORDS, "--overwrite").code == 0
    assert_equal_but_for_time("x.h5", measured)


def test_a_snapshot_of_other_settings_is_kept(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        at_product(patch, 12, send(signal.SIGINT))
        landscape(*WORDS)
    before = contents(Path())
    done = landscape(*WORDS, "--seed", "1")
    assert done.code == 1
    assert done.err.startswith("Error: x.h5.partial belongs to other settings (seed was 0, now 1)")
    assert contents(Path()) == before


def test_a_full_disk_on_the_way_does_not_end_the_run(
    tiny: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def full(source: str | Path, target: str | Path) -> None:
        if str(target).endswith(".partial"):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    monkeypatch.setattr(partial, "SECONDS_BETWEEN_WRITES", 0.0)
    done = landscape(*WORDS)
    assert done.code == 0
    assert done.err.startswith("caution: nothing could be saved on the way (x.h5.partial cannot be written: the disk")
    assert_equal_but_for_time("x.h5", measured)


def test_of_two_runs_of_one_command_the_second_finds_what_the_first_has_written(
    tiny: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = evidence_module.directional_curvature

    def overtaken(*args: Any) -> Any:
        shutil.copy(measured, "x.h5")
        return evidence(*args)

    monkeypatch.setattr(evidence_module, "directional_curvature", overtaken)
    before = measured.read_bytes()
    done = landscape(*WORDS)
    assert (done.code, done.err) == (0, "")
    assert Path("x.h5").read_bytes() == before
    assert set(contents(Path())) == {Path("tiny.pt"), Path("x.h5")}


def test_a_run_overtaken_by_one_of_other_settings_keeps_its_work(
    tiny: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert landscape(*WORDS[:-1], "other.h5", "--seed", "1", "-q").code == 0
    evidence = evidence_module.directional_curvature

    def overtaken(*args: Any) -> Any:
        shutil.copy("other.h5", "x.h5")
        return evidence(*args)

    with monkeypatch.context() as patch:
        patch.setattr(evidence_module, "directional_curvature", overtaken)
        done = landscape(*WORDS)
    assert done.code == 1 and "x.h5 holds a result of other settings (seed 1 there, 0 asked)" in done.err
    monkeypatch.setattr(Lanczos, "step", None)
    assert landscape(*WORDS, "--overwrite").code == 0
    assert_equal_but_for_time("x.h5", measured)


def test_the_snapshot_of_another_run_is_left_to_it(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        at_product(patch, 12, send(signal.SIGINT))
        landscape(*WORDS[:-1], "other.h5", "--seed", "1")
    evidence = evidence_module.directional_curvature

    def joined(*args: Any) -> Any:
        shutil.copy("other.h5.partial", "x.h5.partial")
        return evidence(*args)

    monkeypatch.setattr(evidence_module, "directional_curvature", joined)
    assert landscape(*WORDS).code == 0
    assert Path("x.h5.partial").read_bytes() == Path("other.h5.partial").read_bytes()
