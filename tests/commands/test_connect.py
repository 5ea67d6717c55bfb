"""`landscape connect`: trained, scanned, kept, found again, resumed; and what it refuses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from landscape.checkpoint import load_model, read_checkpoint, save_checkpoint
from landscape.data import load_data
from landscape.geometry import BezierCurve
from landscape.models import build_model
from landscape.objective import Objective
from landscape.params import ParameterSpace
from landscape.results import read_result
from landscape.results.comparison import compare
from landscape.results.replicates import read_replicates
from tests.commands.runner import contents, landscape

SPEC = "lenet:width=1"
SCAN = ("--points", "3", "--n-examples", "16", "--attack", "pgd:steps=1", "--eps", "0.02")
TRAIN = ("--epochs", "1", "--interior-points", "1")


def save(path: str, seed: int, *, spec: str = SPEC, data: str = "digits", eps: float = 0.02) -> Path:
    """Save an untrained net as a checkpoint of a run in large batches."""
    net, resolved = build_model(spec, input=(1, 8, 8), classes=10, seed=seed)
    training = {"eps": eps, "norm": "linf", "seed": seed, "epochs": 1, "epoch": 1, "batch_size": 700, "lr": 0.01}
    training |= {"attack": "pgd:steps=1", "optimizer": "adam"}
    return save_checkpoint(path, net, model_spec=resolved, data_spec=data, training=training)


@pytest.fixture
def nets() -> tuple[Path, Path]:
    return save("a.pt", 0), save("b.pt", 1)


def only(pattern: str) -> Path:
    (path,) = Path("results").glob(pattern)
    return path


def assert_same_numbers(one: Path, other: Path) -> None:
    """Compare two files as plain HDF5: every array bit for bit, every attribute but those of time and command."""
    with h5py.File(one) as a, h5py.File(other) as b:
        names: list[str] = []
        a.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            np.testing.assert_array_equal(a[name][()], b[name][()], err_msg=name)
        assert list(a.attrs) == list(b.attrs)
        told = {"created", "wall_seconds", "command", "control_points"}
        for name in set(a.attrs) - told:
            np.testing.assert_array_equal(a.attrs[name], b.attrs[name], err_msg=name)


def test_a_curve_is_trained_scanned_and_kept_and_the_same_command_prints_its_table_again(
    nets: tuple[Path, Path],
) -> None:
    done = landscape("connect", *nets, *TRAIN, *SCAN)
    assert done.code == 0, done.err
    path, points = only("a+b.connect-*.h5"), only("a+b.curve-*.pt")
    assert "from a to b by a bezier of 1 interior points, trained for 1 epochs at eps 0.02 (adam, lr 0.01)" in done.out
    assert "linf eps 0, 0.02" in done.out
    assert f"wrote {path}, control points in {points}" in done.out
    assert f"next: landscape surface --dirs a.pt,b.pt,{points} --eps 0,0.02 --grid 15x15" in done.out
    assert f"next: landscape plot {path}" in done.out
    assert "train split, 16 examples" in done.out
    assert "test split, 16 examples" in done.out
    assert only("*.traces.h5").exists()
    assert not list(Path("results").glob("*.resume.pt"))
    before = contents(Path("results"))
    again = landscape("connect", *nets, *TRAIN, *SCAN)
    assert (again.code, f"found {path}" in again.out) == (0, True)
    assert contents(Path("results")) == before
    attrs: dict[str, Any] = read_result(path).attrs
    assert attrs["training"]["seed"] == [0, 1]
    assert attrs["control_points_sha256"] == read_checkpoint(points).sha256
    assert (attrs["train_eps"], attrs["steps"]) == (0.02, 3)


def test_the_file_of_the_control_points_holds_them_all_and_loads_as_the_net_of_the_middle_one(
    nets: tuple[Path, Path],
) -> None:
    assert landscape("connect", *nets, *SCAN, "--epochs", "1", "--interior-points", "3", "-q").code == 0
    points = only("a+b.curve-*.pt")
    checkpoint = read_checkpoint(points)
    assert checkpoint.points is not None
    net = load_model(points)
    space = ParameterSpace(net)
    torch.testing.assert_close(space.point(net), checkpoint.points[1], rtol=0, atol=0)
    # The stored loss is the loss of the curve through these points and the nets, by no code of the scan's.
    ends = [space.point(load_model(path)).unsqueeze(0) for path in nets]
    curve = BezierCurve(torch.cat([ends[0], checkpoint.points, ends[1]]))
    result = read_result(only("*.connect-*.h5"))
    data = load_data("digits")
    rows = torch.from_numpy(result.example_index)
    objective = Objective(net, data.images[rows], data.labels[rows])
    expected = [objective.value(curve.at(t)) for t in (0, 0.5, 1)]
    np.testing.assert_allclose(result.loss[0], expected, rtol=1e-5)
    said = landscape("info", points).out
    assert "control point 2 of 3 of a bezier from a.pt to b.pt; 3 updates" in said
    done = landscape(
        "surface", "--dirs", f"a.pt,b.pt,{points}", "--eps", "0", "--grid", "2x2", "--n-examples", "8", "--audit", "0"
    )
    assert done.code == 0, done.err


def test_control_points_are_taken_from_their_file_and_refused_for_another_pair(nets: tuple[Path, Path]) -> None:
    assert landscape("connect", *nets, *TRAIN, *SCAN, "-q").code == 0
    points, first = only("*.curve-*.pt"), only("*.connect-*.h5")
    done = landscape("connect", *nets, *SCAN, "--control-points", points, "--out", "again.h5")
    assert done.code == 0, done.err
    assert f"by a bezier through {points}" in done.out
    np.testing.assert_array_equal(read_result("again.h5").loss, read_result(first).loss)
    save("c.pt", 2)
    before = contents(Path())
    for words, code, said in (
        (("a.pt", "c.pt", "--control-points", points), 2, "holds control points between a.pt and b.pt, and a.pt and c"),
        (("b.pt", "a.pt", "--control-points", points), 2, "leads from a.pt to b.pt; give the nets in that order"),
        (("a.pt", "b.pt", "--control-points", "c.pt"), 2, "c.pt is a net and holds no control points"),
        (("a.pt", "b.pt", "--control-points", points, "--epochs", "2"), 2, "leave --epochs out"),
        (("a.pt", "b.pt", "--control-points", points, "--curve", "polychain"), 2, "leave --curve out"),
    ):
        refused = landscape("connect", *words, *SCAN)
        assert (refused.code, said in refused.err) == (code, True), refused.err
        assert "Traceback" not in refused.err
    assert contents(Path()) == before


def test_what_cannot_be_connected_is_refused_before_any_work(nets: tuple[Path, Path]) -> None:
    shutil.copy("a.pt", "copy.pt")
    save("wide.pt", 0, spec="lenet:width=2")
    save("soft.pt", 3, spec="lenet:width=1,activation=softplus")
    save("other.pt", 5, eps=0.05)
    with np.load(_npz("mine.npz")) as held:
        assert held["images"].shape == (12, 1, 8, 8)
    save("mine.pt", 3, data="mine.npz")
    before = contents(Path())
    for words, code, said in (
        (("a.pt", "a.pt", *SCAN), 2, "a.pt came twice, and no curve leads from a net to itself"),
        (("a.pt", "copy.pt", *SCAN), 2, "a.pt and copy.pt are the same file"),
        (("a.pt", "wide.pt", *SCAN), 2, "the nets have different shapes: conv1.weight is"),
        (("a.pt", "soft.pt", *SCAN), 2, "they differ in more than trainable weights and BatchNorm"),
        (("a.pt", "b.pt", *SCAN, "--eps", "0.1,,0.2"), 2, "a radius is empty between commas"),
        (("a.pt", "b.pt", *SCAN, "--points", "-3"), 2, "points = -3; wanted a whole number, 2 or more"),
        (("a.pt", "mine.pt", *SCAN), 2, "a.pt was trained on digits and mine.pt on mine.npz"),
        (("a.pt", "b.pt", *SCAN, "--interior-points", "0"), 2, "a bezier without interior points is the line"),
        (("a.pt", "b.pt", *SCAN, "--curve", "line", "--interior-points", "2"), 2, "a line has no interior points"),
        (("a.pt", "b.pt", *SCAN, "--points", "0,1.2"), 2, "t = 1.2 lies outside [0, 1]"),
        (("a.pt", "b.pt", *SCAN, "--points", "many"), 2, "'many' is no number of points"),
        (("a.pt", "b.pt", *SCAN, "--points", "1"), 2, "points = 1; wanted a whole number, 2 or more"),
        (("a.pt", "other.pt", *SCAN[:-2]), 2, "the nets were trained at eps 0.02 and 0.05; give --eps"),
        (("a.pt", "missing.pt", *SCAN), 1, "missing.pt"),
        (("a.pt", "b.pt", *SCAN, "--eps", "4"), 2, "did you mean 4/255?"),
    ):
        done = landscape("connect", *words)
        assert (done.code, said in done.err) == (code, True), (words, done.err)
        assert "Traceback" not in done.err
    assert contents(Path()) == before


def _npz(path: str) -> str:
    rng = np.random.default_rng(0)
    np.savez(path, images=rng.random((12, 1, 8, 8), dtype=np.float32), labels=np.arange(12) % 10)
    return path


def test_a_result_of_other_settings_is_kept(nets: tuple[Path, Path]) -> None:
    words = ("connect", *nets, "--curve", "line", *SCAN, "--out", "x.h5")
    assert landscape(*words).code == 0
    before = contents(Path())
    done = landscape(*words, "--seed", "1")
    assert (done.code, "holds a result of other settings" in done.err) == (1, True)
    assert contents(Path()) == before
    assert not read_result("x.h5").attrs["control_points"]


def test_a_net_where_the_control_points_would_lie_is_never_replaced(nets: tuple[Path, Path]) -> None:
    net = shutil.copy("a.pt", "x.curve.pt")
    before = contents(Path())
    done = landscape("connect", *nets, *TRAIN, *SCAN, "--out", "x.h5", "--overwrite")
    assert (done.code, f"{net} is a net, and where the control points would lie" in done.err) == (1, True), done.err
    assert contents(Path()) == before


def test_gradient_and_adaptive_places_are_measured_where_asked(nets: tuple[Path, Path]) -> None:
    done = landscape("connect", *nets, "--epochs", "0", *SCAN, "--gradient", "--adaptive", "--grid-tol", "1")
    assert done.code == 0, done.err
    result = read_result(only("*.connect-*.h5"))
    assert np.isfinite(result.gradient_norm).all()
    assert "lambda_1" not in result.arrays
    assert (result.attrs["adaptive"], result.attrs["curvature_eps"], result.attrs["steps"]) == (True, 0.02, 0)


KILLED = """
import os, signal, sys
from landscape.cli import main
from landscape.surfaces.along import Along
from landscape.training import curve_run
from landscape.training.trainer import Trainer

where, calls = sys.argv.pop(1), []
curve_run._Keeper.before_batch = lambda self: self.write("partial")

def killing(owner, name, number):
    before = getattr(owner, name)
    def killed(self, *given):
        calls.append(1)
        if len(calls) > number:
            os.kill(os.getpid(), signal.SIGKILL)
        return before(self, *given)
    setattr(owner, name, killed)

killing(*((Trainer, "_advance", 2) if where == "training" else (Along, "values", 5)))
main(prog_name="landscape")
"""


@pytest.mark.parametrize("where", ["training", "scan"])
def test_killed_anywhere_the_same_command_ends_at_the_same_numbers(nets: tuple[Path, Path], where: str) -> None:
    words = ["connect", *map(str, nets), *TRAIN, *SCAN, "-q"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, where, *words], env={**os.environ, "PYTHONPATH": str(root)}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    left = {path.suffix for path in Path("results").iterdir()}
    assert left >= ({".pt"} if where == "training" else {".pt", ".partial"})
    assert landscape(*words).code == 0
    assert not list(Path("results").glob("*.partial*"))
    assert landscape(*words, "--out", "whole.h5").code == 0
    assert_same_numbers(only("*.connect-*.h5"), Path("whole.h5"))
    assert read_checkpoint(only("*.curve-*.pt")).points is not None
    assert only("*.curve-*.pt").read_bytes() != b""


def test_pairs_are_compared_the_pair_being_the_replicate() -> None:
    words = ("--curve", "line", *SCAN[:-2])
    for eps in (0.02, 0.05):
        for seed in range(0, 6, 2):
            names = [f"{eps}-{one}.pt" for one in (seed, seed + 1)]
            pair = [
                save(name, int(1000 * eps) + seed + k, spec="mlp:hidden=8", eps=eps) for k, name in enumerate(names)
            ]
            for one, path in enumerate(pair):  # nets of one eps have the seeds of the other's
                held = torch.load(path, weights_only=True)
                held["training"]["seed"] = seed + one
                held["state_dict"] = {name: 5 * value for name, value in held["state_dict"].items()}  # no constant nets
                torch.save(held, path)
            assert landscape("connect", *pair, *words, "-q").code == 0
    files = sorted(Path("results").glob("*.h5"))
    for quantity in ("line_barrier", "barrier/loss"):
        done = landscape("compare", *files, "--quantity", quantity)
        assert done.code == 0, done.err
        assert " against " in done.out
        found = read_replicates(files, by="train_eps", quantity=quantity)
        assert [net.seed for net in found.nets] == [(0, 1), (2, 3), (4, 5)] * 2
        assert [effect.paired for effect in compare(found, by="train_eps").effects] == [True]
        for net, path in zip(found.nets, files, strict=True):
            stored = read_result(path)
            rung = int(np.argmax(stored.eps))
            ends = stored.line_loss[rung, [0, -1]].mean() if quantity.endswith("/loss") else 1.0
            assert net.value == pytest.approx(stored.line_barrier[rung] / ends, rel=1e-6)
    overlapping = landscape("connect", "0.02-1.pt", "0.02-2.pt", *words, "--out", "overlap.h5", "-q")
    assert overlapping.code == 0
    refused = landscape("compare", *files, "overlap.h5")
    assert (refused.code, "pairs that share a net" in refused.err) == (1, True), refused.err
