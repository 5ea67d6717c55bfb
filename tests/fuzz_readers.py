"""Damage files of every kind that is read, and read them: `python tests/fuzz_readers.py --minutes 60`.

What a reader may do with a file is read it, or refuse it in one sentence; anything else is a find: another exception,
a crash of the process, more than SECONDS or MEMORY, a file opened or a program started besides. `tests/test_fuzz.py`
runs the same property for seconds. Finds are written to --out, one file each, to be read again by --replay.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib.font_manager  # noqa: F401 - which asks fc-list for fonts where no list is kept, once
import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from torch import nn

from landscape.checkpoint import read_checkpoint, rebuild, save_checkpoint
from landscape.data import load_data
from landscape.errors import LandscapeError
from landscape.models import build_model
from landscape.results import GrowingResult, write_snapshot
from landscape.training.resume import read_state, write_state
from tests.damage import damaged, edits
from tests.results.made import hessian, with_density
from tests.results.made_connect import connect
from tests.results.made_evaluate import evaluation
from tests.results.made_surface import surface
from tests.results.made_traces import traces

SECONDS, MEMORY = 20.0, 768 * 2**20  # of one file: CPU time, and bytes that the process may grow by over all of them
LONGEST = 2_000  # letters of a message
_SHARE_DRAWN = 8  # one result of so many is compared and drawn too, which takes most of the time
_FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.",
    "shutil.",
    "ctypes.dlopen",
)
_watched: list[str] = []
_watching = [False]


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching[0] and event.startswith(_FORBIDDEN):
        _watched.append(f"{event} {arguments!r:.200}")


sys.addaudithook(_hook)


# Results of the shipped net, which recheck computes anew.
_ATTACK = ("--eps", "0.1", "--attack", "pgd:steps=1,rel_step=1", "--n-examples", "6")
_REAL: dict[str, tuple[str, ...]] = {
    "hessian": ("hessian", "digits/eps0.1", *_ATTACK, "--top", "2", "--tol", "0.3"),
    "surface": ("surface", "digits/eps0.1", *_ATTACK, "--dirs", "random", "--grid", "2x2", "--range", "1",
                "--audit", "0"),
    "evaluate": ("evaluate", "digits/eps0.1", "--eps", "0.1", "--attacks", "clean,pgd1", "--n-examples", "6"),
}  # fmt: skip


def seeds(folder: Path, only: str = "") -> dict[str, bytes]:
    """Make one small good file of each kind whose name holds `only`; the suffix says which reader it is for."""
    from tests.results.made_sharpness import sharpness

    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, Callable[[Path], Any]] = {
        "hessian.h5": hessian(k=3, n_parameters=20, **with_density(size=8)).save,
        "surface.h5": surface().save,
        "evaluate.h5": evaluation().save,
        "connect.h5": connect().save,
        "traces.h5": traces().save,
        "sharpness.h5": sharpness().save,
        "snapshot.h5.partial": lambda path: write_snapshot(
            path, {"values": np.ones(3), "residuals": np.ones(3)}, {"a": 1}, identity={"eps": 0.1}
        ),
        "growing.h5.partial": _growing,
        "own.pt": _own,
        "own.safetensors": _own,
        "legacy.pt": lambda path: torch.save(_wrapped(), path, _use_new_zipfile_serialization=False),
        "wrapped.pt": lambda path: torch.save(_wrapped(), path),
        "module.pt": lambda path: torch.save(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), path),
        "state.resume.pt": lambda path: write_state(path, {"w": torch.ones(3), "epoch": 1}, settings={"lr": 0.1}),
        "data.npz": lambda path: np.savez_compressed(
            path, images=np.zeros((4, 8, 8), np.uint8), labels=np.arange(4), test_images=np.ones((2, 8, 8), np.float32)
        ),
    }
    made |= {f"real.{kind}.h5": partial(_real, words) for kind, words in _REAL.items()}
    content = {}
    for name, save in made.items():
        if only not in name:
            continue
        path = folder / name
        path.unlink(missing_ok=True)
        save(path)
        content[name] = path.read_bytes()
    return content


def _real(words: tuple[str, ...], path: Path) -> None:
    from tests.commands.runner import landscape

    done = landscape(*words, "--out", path)
    assert done.code == 0, done.err


def _growing(path: Path) -> None:
    arrays = {"loss": np.full((1, 2, 2), np.nan), "status": np.zeros((1, 2, 2), np.uint8)}
    with GrowingResult(path.with_suffix(""), {"eps": 0.1}) as growing:
        growing.open(arrays, {"x": np.arange(2.0), "y": np.arange(2.0)})
        growing.put(0, 1, {"loss": np.ones(1), "status": np.ones(1, np.uint8)})


def _own(path: Path) -> None:
    net, spec = build_model("lenet:width=1", input=(1, 8, 8), seed=0)
    save_checkpoint(path, net, model_spec=spec, data_spec="digits", training={"eps": 0.1, "history": [{"loss": 1.0}]})


def _wrapped() -> dict[str, Any]:
    net, _ = build_model("lenet:width=1", input=(1, 8, 8), seed=0)
    state = {f"module.{name}": value for name, value in net.state_dict().items()}
    args = argparse.Namespace(lr=0.1)
    return {"epoch": 3, "state_dict": state, "state_dict_ema": state, "args": args, "best": np.float64(0.5)}


def read(path: Path, *, draw: bool = False) -> str:
    """Read a file by every reader that takes its kind; return what became of it, and let what is a find through."""
    readers: dict[str, Callable[[], Any]] = {}
    if path.name.endswith((".h5", ".partial")):
        readers["info"] = lambda: _command("info", path)
        if path.suffix == ".h5" and draw:
            good = path.parent / "seeds" / path.name.removeprefix("damaged.")
            readers["compare"] = lambda: _command("compare", path, *([good] if good.exists() else []))
            readers["plot"] = lambda: _command("plot", path, "--out", path.with_name("picture"), "--overwrite")
            if ".real." in path.name:
                readers["recheck"] = lambda: _command("recheck", path)
    elif path.suffix == ".npz":
        readers["train"] = lambda: load_data(str(path))
        readers["test"] = lambda: load_data(str(path), split="test", targets=True)
    elif path.name.endswith(".resume.pt"):
        readers["state"] = lambda: read_state(path)
    else:
        readers["info"] = lambda: _command("info", path)
        readers["net"] = lambda: rebuild(read_checkpoint(path), input=(1, 8, 8))
    done = []
    for name, reader in readers.items():
        try:
            reader()
        except LandscapeError as error:
            _check_message(str(error))
        else:
            done.append(name)
    return f"read by {', '.join(done)}" if done else "refused"


def _command(*words: str | Path) -> None:
    """Run a command in this process; what it refuses is raised again with its sentence."""
    from tests.commands.runner import landscape

    done = landscape(*words)
    if done.code and not (words[0] == "recheck" and "FAIL: " in done.out):  # that says what differs, and is no refusal
        text = done.err.removeprefix("Error: ").strip()
        assert done.code in (1, 2), f"exit code {done.code}: {done.err}"
        raise LandscapeError(text.rpartition("Error: ")[2])


def _check_message(text: str) -> None:
    assert text and len(text) <= LONGEST, f"a message of {len(text)} letters: {text[:200]}..."
    assert text.isprintable(), f"a message that is no line: {text!r}"


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Let nothing be started, connected or opened behind a reader's back, and no file take more than SECONDS."""
    _watched.clear()
    _watching[0] = True
    began = time.process_time()
    try:
        yield
    finally:
        _watching[0] = False
    assert not _watched, f"a reader did {_watched}"
    assert time.process_time() - began < SECONDS, f"a file took {time.process_time() - began:.0f} s"


def check(path: Path, content: bytes, *, draw: bool = False) -> str:
    """Write a file, read it, and return what became of it; AssertionError, or what a reader raised, is a find."""
    path.write_bytes(content)
    with watched():
        return read(path, draw=draw)


def campaign(folder: Path, *, examples: int, number: int, counts: Counter[str], only: str = "") -> None:
    """Check so many damaged files, drawn by Hypothesis from the seed `number`; a find is raised, made small."""
    good = seeds(folder / "seeds", only)

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(st.sampled_from(sorted(good)), edits(), st.integers(0, _SHARE_DRAWN - 1))
    def holds(name: str, changes: list[tuple[str, float, bytes]], share: int) -> None:
        path = folder / f"damaged.{name}"
        outcome = check(path, damaged(good[name], changes), draw=share == 0)  # of the example: a replay does the same
        counts[f"{name}: {outcome}"] += 1

    holds()


def _forked(folder: Path, examples: int, number: int, only: str) -> tuple[int, str]:
    """Run a campaign in a process of its own, whose crash is a find too; return its exit status and what it said."""
    told = folder / "told.pickle"
    told.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        counts: Counter[str] = Counter()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        trouble = ""
        try:
            campaign(folder, examples=examples, number=number, counts=counts, only=only)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            trouble = f"{type(error).__name__}: {error}"
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if grown > MEMORY:
            trouble = trouble or f"memory grew by {grown / 2**20:.0f} MiB"
        told.write_bytes(pickle.dumps((counts, trouble, grown)))
        os._exit(1 if trouble else 0)
    limit = time.monotonic() + 60 + examples * SECONDS
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > limit:
            os.kill(child, 9)
        time.sleep(0.05)
    return os.waitstatus_to_exitcode(status), told.read_bytes().hex() if told.exists() else ""


def main() -> None:
    """Run campaigns until the minutes are over, and say how many files were read and what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds whose name holds this, such as .h5")
    parser.add_argument("--out", type=Path, default=Path("fuzz"))
    parser.add_argument("--replay", type=Path, nargs="*", help="read these files again, and stop at the first find")
    given_ = parser.parse_args()
    if given_.replay:
        for path in given_.replay:
            print(path, check(path, path.read_bytes(), draw=True))
        return
    given_.out.mkdir(parents=True, exist_ok=True)
    check(given_.out / "first.h5", seeds(given_.out / "seeds")["hessian.h5"], draw=True)  # imports what children need
    total: Counter[str] = Counter()
    finds, number, most = 0, given_.seed, 0
    end = time.monotonic() + 60 * given_.minutes
    while time.monotonic() < end:
        code, told = _forked(given_.out, 100, number, given_.only)
        counts, trouble, grown = (
            pickle.loads(bytes.fromhex(told)) if told else (Counter(), f"the process died: {code}", 0)
        )
        total.update(counts)
        most = max(most, grown)
        if trouble:
            finds += 1
            print(f"find {finds} (seed {number}): {trouble[:1500]}", flush=True)
            for path in given_.out.glob("damaged.*"):
                path.rename(path.with_name(f"find{finds}-{path.name}"))
        number += 1
        if number % 20 == 0:
            print(f"{sum(total.values()):,} files, {finds} finds, memory grew by {most / 2**20:.0f} MiB", flush=True)
    for name, count in sorted(total.items()):
        print(f"{count:>8,} {name}")
    print(
        f"{sum(total.values()):,} files from seed {given_.seed}, {finds} finds, memory grew by {most / 2**20:.0f} MiB"
    )
    sys.exit(1 if finds else 0)


if __name__ == "__main__":
    main()
