import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from landscape.checkpoint import read_checkpoint
from landscape.results import growing_progress, read_result
from landscape.surfaces import Points
from tests.commands.runner import contents, landscape

SMALL = ("--n-examples", "24", "--attack", "pgd:steps=2", "--audit", "0")
GRID = ("--grid", "3x2", "--range", "-0.2:0.1,0.05:0.3")


def only(pattern: str) -> Path:
    (path,) = Path("results").glob(pattern)
    return path


@pytest.fixture
def run(trained: Path) -> Path:
    """The checkpoints of a run of three epochs, in the test's own folder: run.pt, run-epoch0.pt to run-epoch2.pt."""
    settings = "--data digits --model lenet:width=1 --eps 0.02 --epochs 3 --lr 0.01 --save-epochs 1,2 -q"
    assert landscape("train", *settings.split(), "--out", "run.pt").code == 0
    return Path("run.pt")


def assert_same_numbers(one: Path, other: Path) -> None:
    """Compare two surfaces as plain HDF5: every array bit for bit, every attribute but those of time and command."""
    with h5py.File(one) as a, h5py.File(other) as b:
        names: list[str] = []
        a.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            np.testing.assert_array_equal(a[name][()], b[name][()], err_msg=name)
        assert list(a.attrs) == list(b.attrs)
        for name in set(a.attrs) - {"created", "wall_seconds", "command"}:
            np.testing.assert_array_equal(a.attrs[name], b.attrs[name], err_msg=name)


def test_from_a_checkpoint_alone_the_hessian_is_computed_first_and_said_so(tiny: Path) -> None:
    done = landscape("surface", tiny, *SMALL, *GRID)
    assert done.code == 0, done.err
    assert "top2 needs a Hessian of tiny.pt at this eps, and results/ holds none: computing it first" in done.out
    path = only("*.surface-*.h5")
    assert f"wrote {path}" in done.out
    assert f"next: landscape plot {path}" in done.out
    result = read_result(path)
    assert result.loss.shape == (1, 2, 3)
    np.testing.assert_allclose(result.x, [-0.2, -0.05, 0.1])
    np.testing.assert_allclose(result.y, [0.05, 0.3])
    assert result.eps == [0.02]  # that of training
    # The directions are the eigenvectors of the file that was written on the way.
    vectors = read_result(only("*.hessian-*.h5")).eigenvectors[:2]
    np.testing.assert_allclose(result.directions, vectors, atol=1e-6)


def test_without_a_checkpoint_the_newest_hessian_result_gives_net_budget_and_directions(tiny: Path) -> None:
    words = ("--top", "2", "--n-examples", "24", "--attack", "pgd:steps=2", "--eps", "0.05", "--seed", "3")
    assert landscape("hessian", tiny, *words).code == 0
    done = landscape("surface", "--dirs", "top2", *GRID, "--audit", "0")
    assert done.code == 0, done.err
    hessian = only("*.hessian-*.h5")
    assert f"no checkpoint came: taking tiny.pt, its budget and its directions from {hessian}" in done.out
    attrs = read_result(only("*.surface-*.h5")).attrs
    assert (attrs["n_examples"], attrs["seed"], attrs["attack"]) == (24, 3, read_result(hessian).attrs["attack"])
    assert list(read_result(only("*.surface-*.h5")).eps) == [0.05]


def test_without_a_checkpoint_or_a_hessian_the_next_command_is_said() -> None:
    done = landscape("surface")
    assert done.code == 2
    assert "no checkpoint came, and results/ holds no Hessian result" in done.err
    assert "landscape hessian CKPT" in done.err


def test_a_checkpoint_that_has_changed_since_is_not_mistaken_for_the_hessian_s(tiny: Path, run: Path) -> None:
    assert landscape("hessian", tiny, "--top", "2", "--n-examples", "24").code == 0
    shutil.copy(run, tiny)
    done = landscape("surface", *SMALL, *GRID)
    assert done.code == 2
    assert "tiny.pt has changed since" in done.err


def test_a_repeated_command_finds_its_file_and_other_settings_never_collide(tiny: Path) -> None:
    words = ("surface", tiny, "--dirs", "random", *SMALL, *GRID)
    assert landscape(*words).code == 0
    path = only("*.surface-*.h5")
    before = path.read_bytes()
    again = landscape(*words)
    assert (again.code, f"found {path}" in again.out) == (0, True)
    assert path.read_bytes() == before
    assert landscape(*words, "--seed", "1").code == 0
    assert len(list(Path("results").glob("*.surface-*.h5"))) == 2
    other = landscape(*words, "--seed", "2", "--out", path)
    assert other.code == 1
    assert "holds a result of other settings (" in other.err
    assert path.read_bytes() == before


def test_a_ladder_is_scanned_in_one_pass_and_the_eigenvectors_are_the_largest_radius_s(tiny: Path) -> None:
    done = landscape("surface", tiny, "--eps", "0.04,0,0.02", *SMALL, *GRID)
    assert done.code == 0, done.err
    result = read_result(only("*.surface-*.h5"))
    np.testing.assert_allclose(result.eps, [0, 0.02, 0.04])
    assert (np.diff(result.loss, axis=0) >= 0).all()
    assert read_result(only("*.hessian-*.h5")).attrs["eps"] == 0.04


def test_a_run_s_trajectory_is_walked_and_marked_at_its_true_loss(run: Path) -> None:
    done = landscape("surface", run, "--dirs", "trajectory", *SMALL, "--grid", "3x3", "--range", "1")
    assert done.code == 0, done.err
    result = read_result(only("*.surface-*.h5"))
    assert result.attrs["landmarks"] == ["epoch 0", "epoch 1", "epoch 2", "epoch 3"]
    assert result.attrs["landmarks_joined"]
    shares: Any = result.attrs["explained_variance"]
    assert 0.5 < sum(shares) <= 1
    x, off = result.arrays["landmarks/x"], result.arrays["landmarks/off_plane"]
    assert (x[-1], off[-1]) == (0, 0)
    assert result.arrays["landmarks/loss"][0, -1] <= result.centre_loss[0] + 1e-6
    start = read_checkpoint("run-epoch0.pt").state_dict
    end = read_checkpoint("run.pt").state_dict
    distance = float(torch.cat([(start[name] - end[name]).reshape(-1) for name in start]).norm())
    assert np.hypot(np.hypot(x[0], result.arrays["landmarks/y"][0]), off[0]) == pytest.approx(distance, rel=1e-4)


def test_a_line_through_two_nets_begins_at_the_first_and_passes_the_second(run: Path) -> None:
    done = landscape("surface", "--dirs", "run.pt,run-epoch1.pt", *SMALL, "--grid", "5x1")
    assert done.code == 0, done.err
    result = read_result(only("*.surface-*.h5"))
    x = result.arrays["landmarks/x"]
    np.testing.assert_allclose(result.arrays["landmarks/off_plane"], 0, atol=1e-5)
    assert result.x[0] < x[0] == 0 < x[1] < result.x[-1]
    assert result.attrs["landmarks"] == ["run", "run-epoch1"]


def test_three_nets_span_a_plane_and_other_checkpoints_can_be_marked(run: Path) -> None:
    nets = "run.pt,run-epoch1.pt,run-epoch0.pt"
    assert landscape("surface", "--dirs", nets, *SMALL, "--grid", "3x2", "--mark", "run-epoch2.pt").code == 0
    result = read_result(only("*.surface-*.h5"))
    assert result.attrs["landmarks"] == ["run-epoch2"]
    assert result.arrays["landmarks/off_plane"][0] > 0
    assert len(result.attrs["direction_names"]) == 2  # type: ignore[arg-type]


def test_directions_come_from_any_file_of_the_same_net(tiny: Path, run: Path) -> None:
    assert landscape("surface", tiny, "--dirs", "random", *SMALL, *GRID, "--out", "one.h5").code == 0
    assert (
        landscape("surface", tiny, "--dirs", "one.h5", *SMALL, "--grid", "2x2", "--range", "1", "--out", "two.h5").code
        == 0
    )
    one, two = read_result("one.h5"), read_result("two.h5")
    np.testing.assert_array_equal(one.directions, two.directions)
    assert one.attrs["units"] == two.attrs["units"] == "filter norm"
    other = landscape("surface", run, "--dirs", "one.h5", *SMALL, *GRID)
    assert other.code == 2
    assert "one.h5 holds directions of another net (tiny), and run was given" in other.err


def test_several_nets_share_one_range(tiny: Path, run: Path) -> None:
    done = landscape("surface", tiny, run, "--dirs", "random", *SMALL, "--grid", "3x2")
    assert done.code == 0, done.err
    assert "one range for all: the largest of their own, " in done.out
    one, two = (read_result(path) for path in Path("results").glob("*.surface-*.h5"))
    np.testing.assert_array_equal(one.x, two.x)
    np.testing.assert_array_equal(one.y, two.y)


@pytest.mark.parametrize("dirs", ["random", "top2"])
def test_the_plan_forecasts_and_measures_and_writes_nothing(tiny: Path, dirs: str) -> None:
    before = contents(Path())
    done = landscape("surface", tiny, "--dirs", dirs, "--eps", "0,0.02", *SMALL, "--grid", "21x21", "--plan")
    assert done.code == 0, done.err
    # 441 points of 24 examples: clean, frozen, two steps of two passes, and the last iterate.
    assert f"{441 * 24 * (1 + 1 + 2 * 2 + 1):,}" in done.out
    assert re.search(r"time +about \d+ (s|min)", done.out)
    assert contents(Path()) == before


def test_an_audit_and_its_attacks_are_stated(tiny: Path) -> None:
    words = ("--dirs", "random", "--n-examples", "24", "--audit", "1", "--audit-examples", "4", "--eps", "0.1")
    done = landscape(
        "surface", tiny, *words, "--grid", "2x1", "--range", "0.1", "--attack", "pgd:steps=1", "--dirs", "top1"
    )
    assert done.code == 0, done.err
    assert "audited by apgd-ce, apgd-dlr, square (100 steps, 500 queries) on 4 examples" in done.out
    result = read_result(only("*.surface-*.h5"))
    assert np.isfinite(result.attack_gap).sum() == 1
    assert np.nanmin(result.attack_gap) >= 0


def test_an_interrupted_scan_goes_on_from_the_next_point(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("surface", tiny, "--dirs", "random", "--eps", "0,0.02", *SMALL, *GRID)
    assert landscape(*words, "--out", "whole.h5").code == 0
    seen: list[tuple[float, float]] = []
    values = Points.values

    def counted(self: Points, a: float, b: float) -> Any:
        seen.append((a, b))
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return values(self, a, b)

    monkeypatch.setattr(Points, "values", counted)
    done = landscape(*words, "--out", "cut.h5")
    assert done.code == 130
    assert done.err == (
        "interrupted; each finished point is in cut.h5.partial, and the same command goes on from there\n"
    )
    assert growing_progress("cut.h5.partial") == (3, 6)
    told = landscape("info", "cut.h5.partial")
    assert (told.code, "3 of 6 points" in told.out) == (0, True)
    seen.extend([(0.0, 0.0)] * 10)  # past the interruption
    before = len(seen)
    assert landscape(*words, "--out", "cut.h5").code == 0
    assert len(seen) - before == 3
    assert_same_numbers(Path("whole.h5"), Path("cut.h5"))
    assert not Path("cut.h5.partial").exists()


def test_a_resumption_under_other_settings_is_refused_with_the_difference(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("surface", tiny, "--dirs", "random", *SMALL, *GRID, "--out", "s.h5")
    with monkeypatch.context() as patch:
        values = Points.values
        patch.setattr(Points, "values", lambda self, a, b: os.kill(os.getpid(), signal.SIGINT) or values(self, a, b))
        assert landscape(*words, "--eps", "0.02").code == 130
    kept = Path("s.h5.partial").read_bytes()
    other = landscape(*words, "--eps", "0.03")
    assert other.code == 1
    assert "s.h5.partial belongs to other settings (eps was [0.02], now [0.03])" in other.err
    assert Path("s.h5.partial").read_bytes() == kept
    assert landscape(*words, "--eps", "0.03", "--overwrite").code == 0
    assert not Path("s.h5.partial").exists()


SLOWLY = """
import sys, time
from landscape.cli import main
from landscape.surfaces import Points

values = Points.values
def slowly(self, a, b):
    time.sleep(0.02)
    return values(self, a, b)

Points.values = slowly
main(prog_name="landscape")
"""


# One process that has imported everything, and forks a run to be killed at a moment of its own, again and again.
KILLING = """
import os, random, signal, sys, time
from pathlib import Path
from landscape.cli import main
from landscape.commands import surfacing
from landscape.results import growing_progress

moments, words, partial = random.Random(int(sys.argv[1])), sys.argv[3:], Path("cut.h5.partial")
for kill in range(int(sys.argv[2])):
    before = growing_progress(partial)[0] if partial.exists() else 0
    child = os.fork()
    if not child:
        main(words, prog_name="landscape")
    while not (partial.exists() and growing_progress(partial)[0] > before):  # it can be read at any moment
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "the run ended before it could be killed"
        time.sleep(0.001)
    time.sleep(0.1 * moments.random())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(growing_progress(partial)[0])
"""


@pytest.mark.parametrize(("extra", "kills"), [((), 5), (("--adaptive",), 2)])
def test_killed_at_random_moments_it_ends_with_the_same_file(tiny: Path, extra: tuple[str, ...], kills: int) -> None:
    grid = ("--grid", "11x9", "--range", "0.5")
    words = ["surface", str(tiny), "--dirs", "random", "--eps", "0,0.02", *SMALL, *grid, *extra]
    assert landscape(*words, "--out", "whole.h5").code == 0
    driver = [sys.executable, "-c", KILLING, "0", str(kills), *words, "--out", "cut.h5", "-q"]
    killed = subprocess.run(driver, capture_output=True, text=True, check=False, timeout=120)
    assert killed.returncode == 0, killed.stderr
    counts = [int(line) for line in killed.stdout.split()]
    assert len(counts) == kills
    assert counts == sorted(counts)
    assert counts[-1] < 11 * 9
    assert landscape(*words, "--out", "cut.h5").code == 0
    assert_same_numbers(Path("whole.h5"), Path("cut.h5"))
    assert sorted(path.name for path in Path().glob("cut*")) == ["cut.h5"]


def test_a_file_that_another_run_is_writing_is_left_alone(tiny: Path) -> None:
    words = ["surface", str(tiny), "--dirs", "random", *SMALL, "--grid", "9x7", "--range", "0.5", "--out", "s.h5"]
    slow = SLOWLY.replace("0.02", "0.5")
    process = subprocess.Popen([sys.executable, "-c", slow, *words, "-q"], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not Path("s.h5.partial").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        done = landscape(*words)
        assert done.code == 1
        assert "s.h5.partial is being written by another run; wait for it, or give another --out" in done.err
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    assert growing_progress("s.h5.partial")[1] == 63


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--grid", "0x5"), "'0x5' is no grid; write points along x by points along y"),
        (("--grid", "21"), "'21' is no grid"),
        (("--grid", "1000x1000"), "1,000,000 points; wanted at most 250,000"),
        (("--range", "0"), "holds no points from -0 to 0"),
        (("--range", "1:-1"), "holds no points from 1 to -1; write LOW:HIGH"),
        (("--range", "a:b"), "'a:b' is no range"),
        (("--range", "1:2,3:4,5:6"), "is no range"),
        (("--dirs", "top3"), "--dirs top3 is unknown; give top2, top1, random, trajectory"),
        (("--dirs", "tiny.pt,tiny.pt,tiny.pt,tiny.pt"), "names 4 checkpoints; give two (a line) or three"),
        (("--dirs", "tiny.pt,tiny.pt"), "hold the same weights, and no line leads through them"),
        (("--dirs", "trajectory"), "a trajectory needs two or more: train with --save-epochs"),
        (("--dirs", "absent.h5"), "absent.h5 is not there"),
        (("--dirs", "top1", "--grid", "3x3"), "a grid of 3x3 came for one direction; give --grid 3x1"),
        (("--eps", "0.1,0.1"), "a radius came twice"),
        (("--eps", "0.1,,0.2"), "--eps 0.1,,0.2 holds an empty radius"),
        (("--eps", "4"), "did you mean 4/255"),
        (("--perturb-1d",), "--perturb-1d is for --dirs random"),
        (("--bn-sensitivity", "--out", "x.h5"), "--out names one file, and 3 surfaces come"),
        (("--cap", "0"), "cap"),
        (("--mark", "absent.pt", "--dirs", "random"), "absent.pt"),
    ],
)
def test_bad_input_gets_one_sentence_and_leaves_nothing(tiny: Path, words: tuple[str, ...], message: str) -> None:
    before = contents(Path())
    between = "," in words[1] if words[0] == "--dirs" else False  # then the first of them is the checkpoint
    done = landscape("surface", *(() if between else (tiny,)), "--n-examples", "24", *words)
    assert done.code == 2 if "absent" not in message else done.code in (1, 2)
    assert message in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert contents(Path()) == before


def test_a_hessian_of_one_vector_is_passed_over_for_top2(tiny: Path) -> None:
    words = ("--n-examples", "24", "--attack", "pgd:steps=2")
    assert landscape("hessian", tiny, "--top", "1", *words).code == 0
    done = landscape("surface", tiny, *SMALL, *GRID)
    assert done.code == 0, done.err
    assert "computing it first" in done.out
    named = landscape(
        "surface", tiny, "--dirs", str(next(Path("results").glob("*.hessian-*.h5"))), *SMALL, "--grid", "2x1"
    )
    assert named.code in (0, 2)


def test_results_name_the_net_the_data_and_the_command(tiny: Path) -> None:
    assert landscape("surface", tiny, "--dirs", "random", *SMALL, *GRID).code == 0
    with h5py.File(only("*.surface-*.h5")) as file:
        assert file.attrs["kind"] == "surface"
        assert file.attrs["checkpoint_sha256"] == read_checkpoint(tiny).sha256
        assert json.loads(file.attrs["training"])["eps"] == 0.02
        assert file["loss"].dims[0][0][:] == pytest.approx([0.02])
        assert [file["loss"].dims[axis].keys()[0] for axis in range(3)] == ["eps", "y", "x"]


def test_help_has_an_example_that_runs() -> None:
    done = landscape("surface", "--help")
    assert done.code == 0
    assert "landscape surface digits/eps0.1 --eps 0,0.1 --grid 11x11 --n-examples 200" in " ".join(done.out.split())
