"""Each check of the doctor passes a sound net and sees the fault that it is there for, planted in that net."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import landscape
from landscape.attacks import PGD, LinfBall
from landscape.checkup import CHECKS, costs, inputs, robustness, state
from landscape.checkup.patient import LOOK, OK, STOP, Finding, Patient
from landscape.data import ImageData, select
from landscape.losses import squared_error
from tests.problems import assert_untouched, state_of

LEVELS = torch.tensor([0.2, 0.5, 0.8])  # of brightness: a class each


def images(n: int = 90, *, seed: int = 0) -> ImageData:
    """Return images (n, 1, 4, 4) of three levels of brightness, with noise of a sixth of a step."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    noise = 0.05 * torch.randn(n, 1, 1, 1, generator=generator) + 0.02 * torch.randn(n, 1, 4, 4, generator=generator)
    return ImageData((LEVELS[labels].view(-1, 1, 1, 1) + noise).clamp(0, 1), labels, 3, "made", "train")


class Brightness(nn.Module):
    """The nearest level of brightness, as eight units that each hold the mean of the pixels, and a linear layer."""

    def __init__(self, scale: float = 200.0) -> None:
        super().__init__()
        self.units = nn.Linear(16, 8)
        self.head = nn.Linear(8, 3)
        with torch.no_grad():
            self.units.weight.fill_(1 / 16)
            self.units.bias.zero_()
            self.head.weight.copy_((scale * LEVELS / 8).unsqueeze(1).expand(3, 8))
            self.head.bias.copy_(-scale / 2 * LEVELS.square())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.units(x.flatten(1))))


class Before(nn.Module):
    """A net with something in front of it, or behind."""

    def __init__(self, net: nn.Module, first: Any = None, last: Any = None) -> None:
        super().__init__()
        self.net, self.first, self.last = net, first or nn.Identity(), last or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.net(self.first(x)))


def patient(net: nn.Module, *, eps: float = 0.02, attack: PGD | None = None, **settings: Any) -> Patient:
    data = images()
    return Patient(net.eval(), data, select(data), attack or PGD(LinfBall(eps)), **settings)


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_net_passes(check: Callable[[Patient], Finding]) -> None:
    net = Brightness()
    before = state_of(net.eval())
    finding = check(patient(net))
    assert finding.verdict == OK, finding
    assert_untouched(net, before)


class Undo(nn.Module):
    """Take a normalisation back, as a net does that was trained on normalised images."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation

    def forward(self, x: Tensor) -> Tensor:
        return x * self.deviation + self.mean


def test_a_normalisation_outside_the_net_is_seen_and_named() -> None:
    finding = inputs.normalisation(patient(Before(Brightness(), Undo(0.1307, 0.3081))))
    assert finding.verdict == STOP and "(MNIST's): error 0.0 %" in finding.found
    assert "mean (0.1307), deviation (0.3081)" in finding.advice
    inside = Before(Before(Brightness(), Undo(0.1307, 0.3081)), lambda x: (x - 0.1307) / 0.3081)
    assert inputs.normalisation(patient(inside)).verdict == OK


def test_pixels_from_0_to_255_are_named() -> None:
    finding = inputs.normalisation(patient(Before(Brightness(), Undo(0.0, 1 / 255))))
    assert finding.verdict == STOP and "(0 to 255)" in finding.found


def test_a_net_of_other_data_is_no_better_than_guessing() -> None:
    data = images()
    shuffled = ImageData(data.images, data.labels[torch.randperm(90, generator=torch.manual_seed(0))], 3, "x", "train")
    finding = inputs.normalisation(Patient(Brightness().eval(), shuffled, select(shuffled)))
    assert finding.verdict == LOOK and "no better than guessing" in finding.advice


def test_probabilities_and_nan_are_no_scores() -> None:
    assert "last softmax" in inputs.scores(patient(Before(Brightness(), last=nn.Softmax(1)))).advice
    broken = inputs.scores(patient(Before(Brightness(), last=lambda x: x / 0 * 0)))
    assert broken.verdict == STOP and "not finite for 90 of 90" in broken.found


def test_dropout_left_on_in_eval_mode_is_seen() -> None:
    with torch.random.fork_rng():
        finding = state.determinism(patient(Before(Brightness(), lambda x: F.dropout(x, 0.5, training=True))))
        assert finding.verdict == STOP and "F.dropout" in finding.advice
        assert state.determinism(patient(Before(Brightness(), nn.Dropout(0.5)))).verdict == OK


def test_a_mean_over_the_batch_is_seen() -> None:
    finding = state.batch_independence(patient(Before(Brightness(), nn.BatchNorm2d(1, track_running_stats=False))))
    assert finding.verdict == STOP and "BatchNorm without running statistics" in finding.advice
    whole = state.batchnorm(patient(Before(Brightness(), nn.BatchNorm2d(1, track_running_stats=False))))
    assert whole.verdict == STOP and "track_running_stats" in whole.advice


def normed(mean: float, variance: float) -> nn.Module:
    """Return a net of BatchNorm with these statistics, and right weights behind it for those of the images."""
    layer = nn.BatchNorm2d(1, affine=False)
    own = images().images
    assert layer.running_mean is not None and layer.running_var is not None
    layer.running_mean.fill_(mean)
    layer.running_var.fill_(variance)
    return Before(Brightness(), nn.Sequential(layer, Undo(float(own.mean()), float(own.std()))))


def test_batchnorm_statistics_of_other_data_are_seen() -> None:
    own = images().images
    assert state.batchnorm(patient(normed(float(own.mean()), float(own.var())))).verdict == OK
    fresh = state.batchnorm(patient(normed(0.0, 1.0)))
    assert fresh.verdict == STOP and "never given statistics" in fresh.found
    other = state.batchnorm(patient(normed(0.9, 0.3)))
    assert other.verdict == STOP and "EMA without its buffers" in other.advice
    near = state.batchnorm(patient(normed(float(own.mean()), 5 * float(own.var()))))
    assert near.verdict in (LOOK, STOP)


@pytest.mark.parametrize(("dead", "verdict"), [(2, OK), (6, LOOK)])
def test_dead_units_are_counted(dead: int, verdict: str) -> None:
    net = Brightness()
    with torch.no_grad():
        net.units.bias[:dead] = -100
    finding = state.dead_units(patient(net))
    assert finding.verdict == verdict and f"{dead} of 11 units are dead" in finding.found


def test_a_net_of_dead_units_is_a_constant() -> None:
    net = Brightness()
    with torch.no_grad():
        net.units.bias.fill_(-100)
    finding = state.dead_units(patient(net))
    assert finding.verdict == STOP and "the net is a constant" in finding.advice


def test_a_claim_is_held_to() -> None:
    true = {"clean_test_error": 0.0, "test_examples": 90, "robust_test_error": 0.0, "attack": "pgd:steps=3"}

    def judged(**final: Any) -> Finding:
        training = {"eps": 0.02, "norm": "linf", "seed": 0, "final": {**true, **final}}
        return robustness.claim(patient(Brightness(), training=training, other=lambda split: images()))

    assert judged().verdict == OK and "clean test error 0.0 % on 90, claimed 0.0 %" in judged().found
    assert judged(clean_test_error=0.1).verdict == STOP
    robust = judged(robust_test_error=0.4)
    assert robust.verdict == STOP and robust.advice.startswith("robust test error is not what")
    assert judged(test_examples=10_000, clean_test_error=0.01).verdict == OK  # within what 90 examples can tell
    assert robustness.claim(patient(Brightness())).found == "the checkpoint makes none"


def test_masked_gradients_are_seen() -> None:
    flat = robustness.attack_strength(patient(Before(Brightness(), last=lambda x: 1e5 * x), eps=0.15))
    assert flat.verdict == STOP and "gradients are masked" in flat.advice
    rounded = robustness.attack_strength(patient(Before(Brightness(), lambda x: (20 * x).round() / 20), eps=0.15))
    assert rounded.verdict == STOP and "no gradient in the pixels of 100.0 %" in rounded.found


def test_an_attack_that_is_too_weak_is_seen() -> None:
    weak = PGD(LinfBall(0.16), steps=1, step=0.001, start="zero")
    finding = robustness.attack_strength(patient(Brightness(), attack=weak))
    assert finding.verdict == LOOK and "give --attack pgd:steps=50" in finding.advice
    assert robustness.attack_strength(patient(Brightness(), eps=0.0)).found == "eps is 0: no attack"


class Opaque(Before):
    """A net whose graph nobody kept."""

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def test_a_net_without_a_second_derivative_is_told() -> None:
    finding = costs.curvature(patient(Opaque(Brightness())))
    assert finding.verdict == STOP and "need no second derivative" in finding.advice


def test_rounding_that_drowns_products_is_seen() -> None:
    finding = costs.curvature(patient(Before(Brightness(), last=lambda x: (x + 1e6) - 1e6)))
    assert finding.verdict in (LOOK, STOP) and "float64" in finding.found
    assert costs.curvature(patient(Brightness().double())).found == "products in float64"


def test_the_forecast_says_what_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = costs.forecasts(patient(Brightness()))
    assert [row.command for row in rows] == ["hessian", "surface", "evaluate"]
    assert all(row.seconds > 0 and row.bytes > 0 for row in rows)
    monkeypatch.setattr(costs, "available_bytes", lambda device: 1000)
    assert costs.forecast(patient(Brightness())).verdict == STOP
    monkeypatch.undo()
    monkeypatch.setattr(Patient, "per_pass", 10.0)
    slow = costs.forecast(patient(Brightness()))
    assert slow.verdict == LOOK and "fewer --n-examples" in slow.advice


def test_in_python_it_gives_the_findings_and_stops_at_a_net_that_is_none() -> None:
    data = images()
    found = landscape.doctor(Brightness().eval(), data, eps=0.02)
    assert [finding.verdict for finding in found] == [OK] * len(CHECKS)
    broken = landscape.doctor(copy.deepcopy(Before(Brightness(), last=nn.Softmax(1))).eval(), data)
    assert [finding.verdict for finding in broken] == [OK, STOP, OK]


def test_what_cannot_be_measured_is_a_finding_and_not_refused() -> None:
    data = images()
    with torch.random.fork_rng():
        random = landscape.doctor(Before(Brightness(), lambda x: F.dropout(x, 0.5, training=True)).eval(), data)
    assert [finding.check for finding in random if finding.verdict == STOP] == ["determinism"]
    several = landscape.doctor(Before(Brightness(), last=lambda x: (x, x)).eval(), data)
    assert len(several) == 1 and "gives a tuple for one image" in several[0].found
    assert "returns its scores alone" in several[0].advice
    lazy = landscape.doctor(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), data)
    assert lazy[0].verdict == STOP and "call the net once" in lazy[0].advice
    narrow = landscape.doctor(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), data)
    assert narrow[0].verdict == STOP and "labels of 3 classes" in narrow[0].found


def test_a_net_of_numbers_is_examined_by_its_loss() -> None:
    data = images()
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    with torch.no_grad():
        net[1].weight.fill_(1 / 4)  # type: ignore[operator]
    targets = net(data.images).detach()[:, 0] + 1
    found = landscape.doctor(net.eval(), (data.images, targets), eps=0.02, loss=squared_error)
    assert [finding.verdict for finding in found] == [OK] * len(CHECKS), found
    assert "1 numbers" in found[1].found and "under a stronger one" in found[8].found
    weak = PGD(LinfBall(0.16), steps=1, step=0.001, start="zero")
    judged = landscape.doctor(net.eval(), (data.images, targets), eps=0.16, attack=weak, loss=squared_error)
    assert judged[8].verdict == LOOK and "give --attack pgd:steps=50" in judged[8].advice
    outside = Before(net, Undo(0.1307, 0.3081))
    seen = landscape.doctor(outside.eval(), (data.images, targets), loss=squared_error)
    assert seen[4].verdict == LOOK and "(MNIST's)" in seen[4].found
