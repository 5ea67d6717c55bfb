from __future__ import annotations

import sys
from pathlib import Path

import pytest

from landscape import __version__
from landscape.reproduction import journal, step

WORDS = ["landscape", "train", "--eps", "0.1", "--out", "net.pt"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def stands_in(monkeypatch: pytest.MonkeyPatch, code: str) -> list[list[str]]:
    """Let every job be some Python; return what it was started with, as it grows."""
    started: list[list[str]] = []

    def argv(words: list[str]) -> list[str]:
        started.append(list(words))
        return [sys.executable, "-c", code]

    monkeypatch.setattr(step, "argv_of", argv)
    return started


def run(words: list[str] = WORDS) -> int:
    return step.main(["logs/net.pt.log", "net.pt", "--", *words])


@pytest.mark.parametrize("code", [0, 3])
def test_what_has_not_converged_is_a_result_too(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    stands_in(monkeypatch, f"import sys; print('said'); sys.exit({code})")
    assert run() == 0
    entry = journal.last_entry(Path("logs/net.pt.log"))
    assert entry is not None
    assert (entry.typed, entry.version, entry.code, entry.said) == (" ".join(WORDS), __version__, None, "said")
    assert entry.seconds is not None and 0 <= entry.seconds < 60


def test_a_failure_keeps_its_code_and_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    stands_in(monkeypatch, "import sys; print('so far'); sys.exit('Error: the loss is not finite')")
    assert run() == 1
    entry = journal.last_entry(Path("logs/net.pt.log"))
    assert entry is not None
    assert (entry.code, entry.said, entry.seconds) == (1, "Error: the loss is not finite", None)


def going_on(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> bool:
    arguments: list[str] = []
    popen = step.subprocess.Popen

    def spied(argv: list[str], **kwargs: object) -> object:
        arguments.extend(argv)
        return popen(argv, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(step.subprocess, "Popen", spied)
    stands_in(monkeypatch, "pass")
    assert run(words) == 0
    return "--overwrite" not in arguments


def test_training_goes_on_after_the_same_words_and_begins_anew_after_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not going_on(monkeypatch, WORDS)  # there is nothing to go on with
    Path("net.resume.pt").touch()
    assert going_on(monkeypatch, WORDS)
    assert not going_on(monkeypatch, [*WORDS, "--lr", "0.1"])
    assert going_on(monkeypatch, [*WORDS, "--lr", "0.1"])
    assert not going_on(monkeypatch, ["landscape", "hessian", "net.pt"])  # passes over what does not fit by itself
    log = Path("logs/net.pt.log")
    log.write_text(log.read_text().replace(__version__, "0.0.1"))
    assert not going_on(monkeypatch, ["landscape", "hessian", "net.pt"])


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    assert run() == 1
    assert capfd.readouterr().err == "net.pt: the disk is full\n"
