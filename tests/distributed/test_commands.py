"""Each command in two and three processes beside one; processes that die; processes that do not belong together.

All worlds are forked from one script (`main` below), which runs once for all tests.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from landscape.results import growing_progress, read_result
from tests.distributed.worlds import NET, Before, forked, killed, run_main, say

ON = "--model net.py:build --data digits --n-examples"  # 23 examples: no world shares them evenly
COMMANDS = {
    "hessian": f"hessian one.pt {ON} 23 --attack pgd:steps=2 --eps 0.1 --top 2 --sizes 2,11 --per-example 1",
    "more": f"hessian one.pt {ON} 23 --attack pgd:steps=2 --eps 0.1 --top 2 --density --probes 2 --weight-decay 0.01 "
    "--adversary reattack --h 0.01,0.02,0.04",
    "surface": f"surface one.pt {ON} 23 --attack pgd:steps=2 --eps 0,0.1 --dirs top2 --range 0.5 --grid 3x2 --audit 1 "
    "--audit-examples 2",
    "quick": f"surface one.pt {ON} 23 --eps 0.1 --dirs random --range 0.5 --grid 9x3 --audit 0 --adaptive",
    "connect": f"connect one.pt two.pt {ON} 23 --attack pgd:steps=2 --eps 0.1 --epochs 1 --interior-points 1 "
    "--points 3",
    "evaluate": f"evaluate one.pt {ON} 23 --eps 0.05 --attacks clean,pgd3,square:queries=5 --batch-size 6",
    "verdicts": f"evaluate one.pt {ON} 23 --eps 0.05 --attacks clean,pgd3 --no-adequacy --batch-size 6",
    "line": f"surface one.pt {ON} 23 --attack pgd:steps=2 --eps 0,0.1 --dirs random --range 0.5 --grid 3x2 --audit 0",
}
BOTH = ("hessian", "surface", "connect", "verdicts")
WORLDS = [(name, world) for name in COMMANDS for world in ((2, 3) if name in BOTH else (2,))]
FEW = f"hessian one.pt {ON} 2 --eps 0.1 --top 1"
BAD = f"evaluate one.pt {ON} 5 --eps 0 --attacks clean --no-adequacy"


def to(words: str, path: str) -> list[str]:
    return [*words.split(), "--out", path]


def deaths() -> dict[str, tuple[str, Before]]:
    """Return, by the name of its file, the name of a command and what kills a process in the midst of it."""
    from landscape.evaluation.verdicts import Examinee
    from landscape.shared import SharedOperator
    from landscape.surfaces import Points
    from landscape.training.trainer import Trainer

    return {
        "dead-hessian": ("hessian", killed(1, SharedOperator, "_multiply", 8)),
        "dead-writer": ("hessian", killed(0, SharedOperator, "_multiply", 8)),
        "dead-surface": ("line", killed(1, Points, "values", 2)),
        "dead-surface-writer": ("line", killed(0, Points, "values", 2)),
        "dead-evaluate": ("verdicts", killed(1, Examinee, "withstands", 1)),
        "dead-connect": ("connect", killed(1, Trainer, "_advance", 4)),
    }


def strangers() -> dict[str, Before]:
    """Return what makes the second process one that does not belong to the first."""
    from landscape.distributed import Group, meeting

    versions, agree = meeting._versions, Group.agree

    def other_torch(rank: int) -> None:
        meeting._versions = lambda: versions() | {"torch": f"2.{13 - rank}.0"}  # type: ignore[assignment]

    def no_gpu(rank: int) -> None:
        def told(self: Group, what: Mapping[str, Any]) -> None:
            agree(self, {**what, "the device": ("cuda", "cpu")[rank]})

        Group.agree = told  # type: ignore[method-assign]

    return {"torch": other_torch, "gpu": no_gpu}


def main(folder: Path) -> None:
    os.chdir(folder)
    Path("net.py").write_text(NET)
    sys.path.insert(0, str(folder))
    import net

    for seed, name in enumerate(("one.pt", "two.pt")):
        torch.manual_seed(seed)
        torch.save(net.build().state_dict(), name)
    for name, words in COMMANDS.items():
        say(to(words, f"{name}1.h5"), folder / f"{name}1.txt")
    for name, world in WORLDS:
        forked(world, lambda rank, n=name, k=world: to(COMMANDS[n], f"{n}{k}.h5"), folder / f"{name}{world}")
    forked(3, lambda rank: to(FEW, "few3.h5"), folder / "few")
    say(to(FEW, "few1.h5"), folder / "few1.txt")
    forked(2, lambda rank: to(COMMANDS["hessian"], "hessian2.h5"), folder / "again")
    for name, (command, before) in deaths().items():
        words = to(COMMANDS[command], f"{name}.h5")
        forked(2, lambda rank, w=words: w, folder / name, before=before)
        left = Path(f"{name}.h5.partial")
        (folder / name / "known").write_text(str(growing_progress(left)[0] if "surface" in name else left.exists()))
        (folder / name / "done").write_text(str(Path(f"{name}.h5").exists()))
        say(words, folder / f"{name}.txt")
    for name, before in strangers().items():
        forked(2, lambda rank: to(BAD, "bad.h5"), folder / name, before=before)
    forked(2, lambda rank: to(BAD.replace("one.pt", ("one.pt", "two.pt")[rank]), "bad.h5"), folder / "files")
    forked(2, lambda rank: to(BAD.replace("digits", "nothing.npz"), "bad.h5"), folder / "nothing")
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        forked(
            1,
            lambda rank: to(BAD, "bad.h5"),
            folder / "port",
            before=lambda rank: os.environ.update(MASTER_PORT=port, WORLD_SIZE="2"),
        )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    run_main("tests.distributed.test_commands", folder)
    return folder


def said(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("*.txt"))]


def assert_alike(one: Path, other: Path) -> None:
    """Hold the arrays of two results to one another: 1e-5 of their largest entry, eigenvectors up to their sign."""
    first, second = read_result(one), read_result(other)
    assert set(first.arrays) == set(second.arrays)
    assert first.attrs["status"] == second.attrs["status"]
    for name, array in first.arrays.items():
        found = second.arrays[name]
        if array.dtype.kind != "f":
            np.testing.assert_array_equal(found, array, err_msg=name)
            continue
        if name in ("eigenvectors", "gradient_projection"):
            array, found = np.abs(array), np.abs(found)
        # Residuals are what is left of the largest numbers, and the losses of single examples are kept in float32.
        most = np.nanmax(np.abs(first.arrays["eigenvalues"] if "residuals" in name else array), initial=1e-3)
        np.testing.assert_allclose(found, array, rtol=1e-5, atol=1e-5 * most, err_msg=f"{one.name} {name}")


@pytest.mark.parametrize(("name", "world"), WORLDS)
def test_several_processes_find_what_one_finds(found: Path, name: str, world: int) -> None:
    first, *others = said(found / f"{name}{world}")
    assert f"wrote {name}{world}.h5" in first and first.endswith("exit 0\n")
    assert others == ["exit 0\n"] * (world - 1), "another process spoke"
    assert_alike(found / f"{name}1.h5", found / f"{name}{world}.h5")


def test_a_finished_result_is_shown_again(found: Path) -> None:
    first, other = said(found / "again")
    assert first.endswith("found hessian2.h5\nnext: landscape plot hessian2.h5\nexit 0\n")
    assert other == "exit 0\n"


def test_processes_beyond_the_work_have_nothing_to_do_and_that_is_said(found: Path) -> None:
    first, *others = said(found / "few")
    assert "caution: 3 processes for work of 2 parts; 1 of them have nothing to do" in first
    assert others == ["exit 0\n"] * 2
    assert_alike(found / "few1.h5", found / "few3.h5")


LEFT = {
    "dead-hessian": "; what is saved is in dead-hessian.h5.partial, and the same command resumes it",
    "dead-surface": "; each finished point is in dead-surface.h5.partial, and the same command goes on from there",
    "dead-evaluate": "; what is saved is in dead-evaluate.h5.partial, and the same command resumes it",
    "dead-connect": "; what is done is in dead-connect.curve.resume.pt, and the same command goes on from there",
}


@pytest.mark.parametrize("name", sorted(LEFT))
def test_a_process_that_is_killed_ends_the_run_and_what_was_done_is_kept(found: Path, name: str) -> None:
    first, other = said(found / name)
    assert " gone" in first or "process 2 of 2 has not been heard of for 2 s" in first
    assert f"{LEFT[name]}\nexit 1\n" in first and "Traceback" not in first
    assert other == ""
    assert (found / name / "done").read_text() == "False"
    assert_resumed(found, name)


@pytest.mark.parametrize("name", ["dead-writer", "dead-surface-writer"])
def test_a_writer_that_is_killed_ends_the_run_and_what_was_done_is_kept(found: Path, name: str) -> None:
    first, other = said(found / name)
    assert "exit" not in first
    assert "Error: process 2 of 2: another process of this run is gone" in other and other.endswith("exit 1\n")
    assert (found / name / "known").read_text() in ("True", "1", "2", "3", "4", "5")
    assert_resumed(found, name)


def assert_resumed(found: Path, name: str) -> None:
    assert "exit 0\n" in (found / f"{name}.txt").read_text()
    assert not (found / f"{name}.h5.partial").exists()
    assert_alike(found / f"{deaths()[name][0]}1.h5", found / f"{name}.h5")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("torch", "differ in torch: 2.13.0 in process 1 of 2, 2.12.0 in process 2; give all of them the same files"),
        ("gpu", "differ in the device: 'cuda' in process 1 of 2, 'cpu' in process 2; give all of them the same"),
        ("files", "differ in checkpoint_sha256: "),
        ("nothing", "nothing.npz"),
    ],
)
def test_processes_that_do_not_belong_together_are_told_apart(found: Path, name: str, wanted: str) -> None:
    first, other = said(found / name)
    assert wanted in first and first.count("Error: ") == 1
    assert first.splitlines()[-1] == other.strip() in ("exit 1", "exit 2")
    assert not (found / "bad.h5").exists()


def test_a_port_in_use_is_named(found: Path) -> None:
    (first,) = said(found / "port")
    assert "Error: the 2 processes did not find one another (port " in first and first.endswith("exit 1\n")
    assert " is in use; give another one: export MASTER_PORT=29501" in first
