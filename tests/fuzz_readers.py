"""Damage files of every kind that is read, and read them: `python tests/fuzz_readers.py --minutes 60`.

What a reader may do with a file is read it, or refuse it in one sentence; anything else is a find: another exception,
a crash of the process, more than SECONDS or MEMORY, a file opened or a program started besides. `tests/test_fuzz.py`
runs the same property for seconds. Finds are written to --out, one file each, to be read again by --replay.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pickle
import random
import resource
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import h5py
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


def seeds(folder: Path) -> dict[str, bytes]:
    """Make one small good file of each kind; the suffix says which reader it is for."""
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
    content = {}
    for name, save in made.items():
        path = folder / name
        path.unlink(missing_ok=True)
        save(path)
        content[name] = path.read_bytes()
    return content


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


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[str, float, bytes]]:
    """Draw what is done to the bytes of a file: where (as a share of it), and with which bytes."""
    kinds = st.sampled_from(["inner"] * 12 + ["flip", "flip", "write", "write", "drop", "repeat", "insert", "cut"])
    words = st.one_of(
        st.binary(min_size=1, max_size=8),
        st.sampled_from(
            [b"\0\0\0\0", b"\xff" * 4, b"\xff" * 8, b"\x7f" + b"\xff" * 3, b"\0" * 7 + b"\x80", b"R", b"."]
        ),
        st.sampled_from([b"cposix\nsystem\n", b"cbuiltins\neval\n", b"c__builtin__\nbytearray\n", b"\x85", b"2", b"Q"]),
    )
    return draw(st.lists(st.tuples(kinds, st.floats(0, 1), words), min_size=1, max_size=3))


def damaged(content: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """Return the bytes of a file after some changes; "inner" changes what lies in an archive or among HDF5's names."""
    for kind, share, word in changes:
        if kind == "inner":
            content = _inner(content, share, word)
            continue
        place = min(int(share * len(content)), max(len(content) - 1, 0))
        if kind == "flip" and content:
            content = content[:place] + bytes([content[place] ^ (1 << word[0] % 8)]) + content[place + 1 :]
        elif kind == "write":
            content = content[:place] + word + content[place + len(word) :]
        elif kind == "drop":
            content = content[:place] + content[place + len(word) * 16 :]
        elif kind == "repeat":
            content = content[:place] + content[place : place + 64] * len(word) + content[place:]
        elif kind == "insert":
            content = content[:place] + word + content[place:]
        elif kind == "cut":
            content = content[:place]
    return content


def _inner(content: bytes, share: float, word: bytes) -> bytes:
    """Change a member of a zip archive, its checksum made to fit, or an item of an HDF5 file; else leave it be."""
    if content[:2] == b"PK":
        with contextlib.suppress(Exception):
            return _inner_zip(content, share, word)
    if content[:4] == b"\x89HDF":
        with contextlib.suppress(Exception):
            return _inner_h5(content, share, word)
    return content


def _inner_zip(content: bytes, share: float, word: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        entries = old.infolist()
        chosen = entries[int(share * 97) % len(entries)] if word[0] % 3 else entries[0]
        for entry in entries:
            held = old.read(entry)
            if entry is chosen and held:
                place = int(share * 7919) % len(held)
                held = held[:place] + word + held[place + len(word) * (word[0] % 2) :]
            new.writestr(entry.filename, held, entry.compress_type)
    return out.getvalue()


def _inner_h5(content: bytes, share: float, word: bytes) -> bytes:
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        number = int.from_bytes(word, "little")
        pick = random.Random(f"{share}{word!r}")
        name = pick.choice(names)
        values: list[Any] = [
            number % 2**62, -1, float("nan"), float("inf"), 1e308, "", word.decode("latin-1"), "$\\frac{$" * 5,
            "a" * 5000, "[/red]\x1b[31m\u202e", np.array([], dtype="f8"), np.eye(2), np.bytes_(word),
            h5py.Empty("f8"), file[name].ref,
            '{"a": [1, {"b": null}]}', "[]", "{", "1e999", ["a", "b"], [1, 2, 3], True,
        ]  # fmt: skip
        value = values[number % len(values)]
        attrs = list(file.attrs)
        action = pick.randrange(6)
        if action < 2 and attrs:
            file.attrs[pick.choice(attrs)] = value
        elif action == 2 and attrs:
            del file.attrs[pick.choice(attrs)]
        elif isinstance(file[name], h5py.Dataset) and action == 3:
            data = file[name][()]
            flat = data.reshape(-1) if isinstance(data, np.ndarray) and data.size else np.zeros(1)
            with contextlib.suppress(TypeError, ValueError):
                flat[number % len(flat)] = value
            file[name][()] = flat.reshape(np.shape(data))
        elif isinstance(file[name], h5py.Dataset) and action == 4:
            shape = tuple(max(0, size + pick.choice([-size, -1, 0, 1])) for size in file[name].shape)
            kind = file[name].dtype
            del file[name]
            file.create_dataset(name, data=np.ones(shape) if kind.kind != "O" else value, dtype=kind)
        else:
            del file[name]
            links = [h5py.SoftLink(f"/{name}"), h5py.ExternalLink("/dev/stdin", "/x"), h5py.SoftLink("/eps")]
            file[name] = pick.choice(links)
    return buffer.getvalue()


def read(path: Path, *, draw: bool = False) -> str:
    """Read a file by every reader that takes its kind; return what became of it, and let what is a find through."""
    readers: dict[str, Callable[[], Any]] = {}
    if path.name.endswith((".h5", ".partial")):
        readers["info"] = lambda: _command("info", path)
        if path.suffix == ".h5" and draw:
            good = path.parent / "seeds" / path.name.removeprefix("damaged.")
            readers["compare"] = lambda: _command("compare", path, *([good] if good.exists() else []))
            readers["plot"] = lambda: _command("plot", path, "--out", path.with_name("picture"), "--overwrite")
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
    if done.code:
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
    good = {name: content for name, content in seeds(folder / "seeds").items() if only in name}
    drawn = [0]

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
    @given(st.sampled_from(sorted(good)), edits())
    def holds(name: str, changes: list[tuple[str, float, bytes]]) -> None:
        path = folder / f"damaged.{name}"
        drawn[0] += 1
        outcome = check(path, damaged(good[name], changes), draw=drawn[0] % _SHARE_DRAWN == 0)
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
