"""Two and three processes beside one: the same step on the same adversarial images; how they stop, die and go on.

The processes are forked from one script (`main` below), which runs once for all tests and leaves what it found.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from landscape.attacks import PGD
from landscape.checkpoint import read_checkpoint
from landscape.cli import main as landscape
from landscape.data import ImageData, load_data
from landscape.distributed import ALONE, Elsewhere, Group, Lost, found_group, joined
from landscape.errors import LandscapeError, UsageError
from landscape.results import read_result
from landscape.training import Recipe, run
from landscape.training.ema import Average
from landscape.training.extras import Extras
from landscape.training.recorder import Recorder
from landscape.training.trainer import Trainer
from tests.distributed import worlds

# In float64 the sign of a gradient is beyond rounding, so that the end of a run can be compared and not its first
# step alone. Batches of 23, 23 and 18 examples, which neither 2 nor 3 processes share evenly.
RECIPE = Recipe(
    0.1,
    epochs=2,
    optimizer="sgd",
    lr=0.1,
    batch_size=23,
    attack="pgd:steps=3",
    eps_schedule="linear",
    schedule_by="batch",
    augment=True,
)
STEPS = 6
NET = """
from torch import nn
from tests.training.test_distributed import net
"""


def digits() -> ImageData:
    data = load_data("digits")
    return replace(data, images=data.images[:64], labels=data.labels[:64])


def net(*, norm: type[nn.Module] = nn.BatchNorm2d) -> nn.Module:
    torch.manual_seed(3)
    made = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), norm(4, momentum=None), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(64, 8), nn.BatchNorm1d(8, affine=False), nn.Linear(8, 10),
    )  # fmt: skip
    return made.double()


def trained(group: Group) -> dict[str, object]:
    """Train, and return weights, rows, history and each batch's adversarial images, as this process knows them."""
    seen: list[torch.Tensor] = []
    attack = PGD.__call__

    def spy(self: PGD, *given: Any, **named: Any) -> torch.Tensor:
        seen.append(attack(self, *given, **named))
        return seen[-1]

    PGD.__call__ = spy  # type: ignore[method-assign]
    try:
        model = net()
        extras = Extras(model, digits(), RECIPE, ("layers", "cosine"), every=2, group=group)
        recorder = Recorder(model, steps_per_epoch=3, halves_every=2, extras=extras)
        average = Average(model, 0.9)
        trainer = Trainer(model, digits(), RECIPE, device="cpu", recorder=recorder, average=average, group=group)
        trainer.run()
    finally:
        PGD.__call__ = attack  # type: ignore[method-assign]
    arrays = {name: torch.from_numpy(array) for name, array in recorder.arrays().items()}
    return {
        "net": model.state_dict(),
        "mean": average.state()["mean"],
        "rows": arrays,
        "history": trainer.history,
        "images": seen,
    }


def fork(world: int, work: Callable[[Group], object], folder: Path) -> None:
    """Run `work` in `world` processes; what each returns, or its exception in words, is left in folder/RANK.pt."""

    def left(rank: int) -> None:
        try:
            found = work(Group(rank, world, rank, world))
        except (LandscapeError, KeyboardInterrupt) as error:
            found = f"{type(error).__name__}: {error}"
        torch.save(found, folder / f"{rank}.pt")

    worlds.fork(world, left, folder, seconds=300)


def within(work: Callable[[Group], object]) -> Callable[[Group], object]:
    def joining(group: Group) -> object:
        with joined(group):
            return work(group)

    return joining


def failing(group: Group) -> list[str]:
    """What each process raises where the second, then the first, then two at once fail."""
    told = []
    for failed in ((1,), (0,), (1, 2)):

        def call(failed: tuple[int, ...] = failed) -> int:
            if group.rank in failed:
                raise UsageError(f"no {group.rank}")
            return group.rank

        try:
            group.together(call)
        except LandscapeError as error:
            told.append(f"{type(error).__name__}: {error}")
    told.append(str(group.together(lambda: group.rank)))
    told.append(str(group.from_first(lambda: {"rank": group.rank})))
    order: list[int] = []
    group.in_turn(lambda: order.append(group.rank))
    return [*told, str(order)]


def filed(out: Path, fault: Callable[[Group, int], None] | None = None, **settings: Any) -> Callable[..., object]:
    """Return a run with files; `fault` is called after each batch of each process."""

    def work(group: Group) -> object:
        def progress(stage: str, done: int, total: int) -> None:
            if fault is not None and stage == "training":
                fault(group, done)

        out.parent.mkdir(exist_ok=True)
        (out.parent / "net.py").write_text(NET)
        np.savez(out.parent / "own.npz", images=digits().images.numpy(), labels=digits().labels.numpy())
        given: dict[str, Any] = {
            "model": f"{out.parent}/net.py:net",
            "data": str(out.parent / "own.npz"),
            "group": group,
        }
        return [str(path) for path in run(RECIPE, out=out, progress=progress, **given, **settings).paths]

    return work


def interrupt(group: Group, done: int) -> None:
    if (group.rank, done) == (group.world - 1, 4):
        raise KeyboardInterrupt("Ctrl-C")


def die(group: Group, done: int) -> None:
    if (group.rank, done) == (1, 5):
        os._exit(9)


def typed(words: str) -> Callable[[Group], str]:
    """Call the command line as torchrun would, and return what this process prints."""

    def work(group: Group) -> str:
        path = Path(f"said{group.rank}")
        with (
            path.open("w") as said,
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            contextlib.suppress(SystemExit),
        ):
            landscape(words.split(), prog_name="landscape")
        return path.read_text()

    return work


def main(folder: Path) -> None:
    os.chdir(folder)
    torch.save(trained(ALONE), folder / "one.pt")
    for world in (2, 3):
        fork(world, within(trained), folder / f"trained{world}")
    fork(3, within(failing), folder / "failing")
    filed(folder / "whole" / "net.pt")(ALONE)
    fork(3, within(filed(folder / "stopped" / "net.pt", interrupt, save_every=1e9)), folder / "interrupted")
    fork(2, within(filed(folder / "stopped" / "net.pt")), folder / "resumed")
    fork(2, within(filed(folder / "left" / "net.pt", die, save_every=0)), folder / "died")
    filed(folder / "left" / "net.pt")(ALONE)
    train = "train --data digits --model mlp:hidden=4 --eps 0.02 --epochs 1 --batch-size 512 --attack pgd:steps=1"
    for name, words in [
        ("typed", f"{train} --out t.pt"),
        ("again", f"{train} --out t.pt"),
        ("wrong", f"{train} --out u.pt --eps 4"),
        ("other", "info t.pt"),
    ]:
        fork(2, typed(words), folder / name)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("group")
    worlds.run_main("tests.training.test_distributed", folder)
    return folder


def results(folder: Path) -> list[Any]:
    return [torch.load(path, weights_only=True) for path in sorted(folder.glob("*.pt"))]


@pytest.mark.parametrize("world", [2, 3])
def test_a_group_takes_the_steps_of_one_process_on_the_same_adversarial_images(found: Path, world: int) -> None:
    one, group = torch.load(found / "one.pt", weights_only=True), results(found / f"trained{world}")
    assert len(group) == world
    for name, value in one["net"].items():
        for member in group:  # float64, six updates; BatchNorm's running statistics among them
            torch.testing.assert_close(member["net"][name], value, rtol=1e-9, atol=1e-12, msg=name)
            assert torch.equal(member["net"][name], group[0]["net"][name])
    torch.testing.assert_close(group[0]["mean"], one["mean"], rtol=1e-9, atol=1e-12)
    assert len(one["images"]) == STEPS - 1  # the first batch of the warm-up is at eps 0
    for number, images in enumerate(one["images"]):
        shares = torch.cat([member["images"][number] for member in group])
        torch.testing.assert_close(shares, images, rtol=0, atol=1e-12)


@pytest.mark.parametrize("world", [2, 3])
def test_the_rows_of_a_group_are_those_of_one_process(found: Path, world: int) -> None:
    one, group = torch.load(found / "one.pt", weights_only=True), results(found / f"trained{world}")
    for name, column in one["rows"].items():
        torch.testing.assert_close(group[0]["rows"][name], column, rtol=1e-7, atol=1e-10, equal_nan=True, msg=name)
    assert torch.isfinite(one["rows"]["gradient_norm_sq_unbiased"][::2]).all()
    for mine, theirs in zip(one["history"], group[-1]["history"], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-9)


def test_a_failure_anywhere_is_told_by_the_first_process(found: Path) -> None:
    first, second, third = results(found / "failing")
    assert first[:3] == ["Elsewhere: process 2 of 3: no 1", "UsageError: no 0", "Elsewhere: process 2 of 3: no 1"]
    assert second[:3] == ["Elsewhere: process 2 of 3: no 1", "Elsewhere: process 1 of 3: no 0", first[0]]
    assert third[:3] == second[:3]
    assert [told[3:] for told in (first, second, third)] == [[str(k), "{'rank': 0}", f"[{k}]"] for k in range(3)]


def test_an_interruption_of_one_process_stops_all_and_any_number_goes_on(found: Path) -> None:
    told = results(found / "interrupted")
    assert told == [*["KeyboardInterrupt: interrupted"] * 2, "KeyboardInterrupt: Ctrl-C"]
    paths, nothing = results(found / "resumed")
    assert nothing == []
    assert [Path(path).name for path in paths] == ["net.pt", "net-epoch0.pt", "net.traces.h5"]
    whole, resumed = (read_checkpoint(found / name / "net.pt") for name in ("whole", "stopped"))
    for name, value in whole.state_dict.items():
        torch.testing.assert_close(resumed.state_dict[name], value, rtol=1e-9, atol=1e-12)
    assert resumed.training["overrides"] == [{"epoch": 2, "batch": 2, "processes": 2}]
    np.testing.assert_array_equal(read_result(found / "stopped" / "net.traces.h5").step, np.arange(STEPS))


def test_a_process_that_dies_ends_the_run_which_goes_on_later(found: Path) -> None:
    (told,) = results(found / "died")
    assert told.startswith("Lost: another process of this run is gone (")
    left = read_checkpoint(found / "left" / "net.pt")
    for name, value in read_checkpoint(found / "whole" / "net.pt").state_dict.items():
        torch.testing.assert_close(left.state_dict[name], value, rtol=1e-9, atol=1e-12)
    assert left.training["overrides"][0]["processes"] == 1


def test_one_process_speaks_and_writes_for_all(found: Path) -> None:
    said, nothing = results(found / "typed")
    assert said.startswith("training mlp:hidden=4 on digits") and "wrote t.pt, t-epoch0.pt, t.traces.h5" in said
    assert nothing == ""
    for name, wanted in [
        ("again", "t.pt exists and is kept; give --overwrite, or another --out"),
        ("wrong", "did you mean 4/255"),
        ("other", "landscape info runs in one process; start it without torchrun"),
    ]:
        said, nothing = results(found / name)
        assert wanted in said
        assert nothing == "", nothing


def test_batches_are_shared_whole_and_evenly() -> None:
    for n in (2, 3, 7, 128):
        for world in (1, 2, 3):
            if n >= world:
                shares = [Group(rank, world).share(n) for rank in range(world)]
                assert [index for share in shares for index in range(n)[share]] == list(range(n))
                sizes = [share.stop - share.start for share in shares]
                assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 1


def test_a_batch_smaller_than_the_group_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(0, 4)
    monkeypatch.setattr(Group, "from_first", lambda self, call: call())
    monkeypatch.setattr(Group, "together", lambda self, call: call())
    monkeypatch.setattr(Group, "in_turn", lambda self, call: call())
    for size, message in [
        (3, r"a batch has 3 examples for 4 processes; .* 3 processes or fewer"),
        (1435, r"the last batch has 2 examples for 4 processes; give another --batch-size"),
    ]:
        with pytest.raises(UsageError, match=message):
            run(Recipe(0.1, batch_size=size), model="mlp:hidden=2", data="digits", out="t.pt", group=group)
    assert not list(Path().iterdir())


@pytest.mark.parametrize(("rank", "world"), [("2", "2"), ("x", "2"), ("0", "0"), ("0", "-1")])
def test_an_environment_that_tells_of_no_group(monkeypatch: pytest.MonkeyPatch, rank: str, world: str) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(LandscapeError, match=f"RANK={rank}, WORLD_SIZE={world}.*torchrun --nproc-per-node N -m"):
        found_group()


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_group() is ALONE
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert found_group() is ALONE
    assert issubclass(Lost, LandscapeError) and issubclass(Elsewhere, LandscapeError)
