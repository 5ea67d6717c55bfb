"""A curve as a net to train: whose gradient, at which t, attacked where, and resumed to the same bits."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape.attacks import PGD, LinfBall
from landscape.data import ImageData, load_data
from landscape.errors import LandscapeError, UsageError
from landscape.geometry import BezierCurve, Curve, Line, make_curve, segment
from landscape.models import build_model
from landscape.objective import Objective
from landscape.params import ParameterSpace
from landscape.streams import stream
from landscape.training.curve_net import CurveNet
from landscape.training.curve_run import CurveFiles, TrainedCurve, train_curve
from landscape.training.recipe import Recipe
from landscape.training.trainer import Trainer
from tests.problems import assert_untouched, examples, lenet, mlp, resnet, state_of

SETTINGS = {"curve": "bezier", "seed": 0}


def between(one: nn.Module, other: nn.Module, interior: int, kind: str = "bezier") -> Curve:
    space = ParameterSpace(one)
    return make_curve(kind, segment(space.point(one), space.point(other), interior))


def reader(seed: int) -> nn.Module:
    """A small net for the digits."""
    return build_model("lenet:width=1", input=(1, 8, 8), classes=10, seed=seed)[0]


def digits(n: int) -> ImageData:
    data = load_data("digits")
    return ImageData(data.images[:n], data.labels[:n], data.classes, data.spec, data.split)


@pytest.mark.parametrize("kind", ["bezier", "polychain"])
def test_the_gradient_of_a_control_point_is_its_coefficient_times_the_net_s(kind: str) -> None:
    model, other = mlp(seed=0), mlp(seed=1)
    curve = between(model, other, 3, kind)
    images, labels = examples(7, (1, 2, 3))
    net = CurveNet(model, curve).train()
    net.place(0.3)
    F.cross_entropy(net(images), labels).backward()
    torch.nn.utils.vector_to_parameters(curve.at(0.3), model.parameters())
    F.cross_entropy(model(images), labels).backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])
    expected = torch.outer(torch.from_numpy(curve.coefficients(0.3))[1:-1], gradient)
    assert net.control.grad is not None
    torch.testing.assert_close(net.control.grad, expected, rtol=1e-12, atol=1e-15)


def test_the_copy_that_is_attacked_lies_at_the_place_and_takes_no_gradient() -> None:
    model, other = lenet(seed=0), lenet(seed=1)
    before = state_of(model)
    net = CurveNet(model, between(model, other, 2))
    images, _ = examples(3)
    for t in (0.0, 0.4, 1.0):
        net.place(t)
        torch.testing.assert_close(net.net(images), net(images), rtol=0, atol=0)
    torch.testing.assert_close(net.net(images), other(images))
    assert [name for name, value in net.named_parameters() if value.requires_grad] == ["control"]
    assert_untouched(model, before)


def test_the_trainer_attacks_each_batch_on_the_net_at_the_place_of_that_update(monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = reader(0), reader(1)
    curve = between(model, other, 1)
    seen: list[Tensor] = []
    sound = PGD.__call__

    def watching(self: PGD, network: nn.Module, images: Tensor, *given: Any, **more: Any) -> Tensor:
        if not seen:
            seen.append((network(images) - at_place(images)).detach())
        return sound(self, network, images, *given, **more)

    t = float(stream(5, "curve/step0").random())
    at_place = copy.deepcopy(model).eval()
    torch.nn.utils.vector_to_parameters(curve.at(t), at_place.parameters())
    monkeypatch.setattr(PGD, "__call__", watching)
    recipe = Recipe(0.05, epochs=1, batch_size=64, seed=5, attack="pgd:steps=1")
    trained = train_curve(model, curve, digits(64), recipe)
    assert float(seen[0].abs().max()) < 1e-5
    assert trained.steps == 1


@pytest.mark.parametrize("kind", ["bezier", "polychain"])
def test_training_moves_the_interior_alone_and_lowers_the_loss_of_the_middle(kind: str) -> None:
    model, other = (build_model("mlp:hidden=16", input=(1, 8, 8), classes=10, seed=seed)[0] for seed in (0, 1))
    curve = between(model, other, 2, kind)
    data = digits(256)
    before = [point.clone() for point in curve.points]
    done = train_curve(model, curve, data, Recipe(0.0, epochs=8, lr=0.02, batch_size=64))
    after = done.curve.points
    assert torch.equal(after[0], before[0])
    assert torch.equal(after[-1], before[-1])
    assert all(not torch.equal(one, other) for one, other in zip(after[1:-1], before[1:-1], strict=True))
    objective = Objective(model, data.images, data.labels)
    assert objective.value(done.curve.at(0.5)) < objective.value(curve.at(0.5)) - 0.5
    assert torch.equal(curve.points[1], before[1])  # the curve that was given is as it was


def test_on_a_linear_softmax_net_the_loss_of_a_trained_curve_lies_below_the_chord_as_convexity_says() -> None:
    class Softmax(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.linear = nn.Linear(64, 10)
            generator = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                self.linear.weight.copy_(torch.randn(10, 64, generator=generator))

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x.flatten(1))

    one, other = Softmax(0), Softmax(1)
    data = digits(200)
    done = train_curve(one, between(one, other, 1), data, Recipe(0.0, epochs=8, lr=0.05, batch_size=50))
    space = ParameterSpace(one)

    def loss(w: Tensor) -> float:
        outputs = torch.func.functional_call(one, dict(space.named(w)), (data.images.float(),))
        return float(F.cross_entropy(outputs, data.labels))

    line = Line(done.curve.points[[0, -1]])
    for t in (0.25, 0.5, 0.75):
        chord = (1 - t) * loss(line.at(0)) + t * loss(line.at(1))
        assert loss(done.curve.at(t)) < loss(line.at(t)) < chord


def test_batchnorm_takes_the_statistics_of_the_batch_at_the_place() -> None:
    model, other = resnet(seed=0, dtype=torch.float64), resnet(seed=1, dtype=torch.float64)
    images, _ = examples(16, tuple(_input_of(model)))
    net = CurveNet(model, between(model, other, 1)).train()
    net.begin_step(3, 0, images)
    theirs = dict(net.net.named_buffers())
    mean = next(value for name, value in theirs.items() if name.endswith("running_mean"))
    seen: list[Tensor] = []
    norm = next(module for module in net.net.modules() if isinstance(module, nn.BatchNorm2d))
    norm.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net.net(images)
    torch.testing.assert_close(mean, seen[0].mean((0, 2, 3)))


def _input_of(model: nn.Module) -> tuple[int, int, int]:
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    return (first.in_channels, 8, 8)


def test_a_curve_without_interior_points_is_refused() -> None:
    model = mlp()
    with pytest.raises(UsageError, match="a curve without interior points has nothing to train"):
        CurveNet(model, Line(torch.stack([ParameterSpace(model).point(model)] * 2)))


RECIPE = Recipe(0.02, epochs=2, batch_size=50, optimizer="sgd", lr=0.05, attack="pgd:steps=1", lr_schedule="cosine")


def run(folder: Path, fault: tuple[int, BaseException] | None = None) -> TrainedCurve:
    model, other = (reader(seed) for seed in (0, 1))
    folder.mkdir(exist_ok=True)
    files = CurveFiles(folder / "x.resume.pt", folder / "x.traces.h5", SETTINGS, "lenet:width=1", save_every=0)

    def progress(stage: str, done: int, total: int) -> None:
        if fault is not None and done == fault[0]:
            raise fault[1]

    return train_curve(model, between(model, other, 2), digits(200), RECIPE, files=files, progress=progress)


@pytest.mark.parametrize("step", [1, 4, 7])
def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path: Path, step: int) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", (step, KeyboardInterrupt()))
    done = run(tmp_path / "cut")
    assert torch.equal(done.curve.points, whole.curve.points)
    assert done.history == whole.history
    from landscape.results import read_result

    one, other = (read_result(tmp_path / name / "x.traces.h5").arrays for name in ("whole", "cut"))
    assert all((one[name] == other[name]).all() for name in ("step", "loss", "learning_rate", "distance_from_init"))


KILLED = """
import os, signal, sys
from pathlib import Path
from typing import Any
from landscape.training.trainer import Trainer
from tests.training.test_curve_net import run

advance = Trainer._advance
def advancing(self):
    if self.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    advance(self)
Trainer._advance = advancing
run(Path(sys.argv[1]))
"""


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    words = [sys.executable, "-c", KILLED, str(tmp_path / "cut")]
    done = subprocess.run(words, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "cut" / "x.resume.pt").exists()
    assert torch.equal(run(tmp_path / "cut").curve.points, run(tmp_path / "whole").curve.points)


def test_the_state_of_another_curve_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    model, other = (reader(seed) for seed in (0, 2))
    files = CurveFiles(tmp_path / "x.resume.pt", None, {**SETTINGS, "seed": 1}, "lenet:width=1")
    with pytest.raises(LandscapeError, match="belongs to a run of other settings"):
        train_curve(model, between(model, other, 2), digits(200), RECIPE, files=files)


def test_a_bezier_of_one_point_passed_through_a_trainer_by_hand_is_the_run(tmp_path: Path) -> None:
    """The run is the trainer's own loop: nothing is done twice."""
    model, other = (reader(seed) for seed in (0, 1))
    net = CurveNet(model, between(model, other, 2))
    Trainer(net, digits(200), RECIPE.resolved("digits"), device="cpu").run()
    assert torch.equal(net.curve.points, run(tmp_path).curve.points)
    assert isinstance(net.curve, BezierCurve)
    assert PGD(LinfBall(0.02)).ball.eps == RECIPE.eps
