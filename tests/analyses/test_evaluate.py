"""evaluate(): its numbers from its verdicts, its checks on nets that hide their gradients, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from landscape.analyses.evaluate import evaluate
from torch import Tensor, nn

import landscape
from landscape.attacks.ensemble import Ensemble
from landscape.errors import LandscapeError, UsageError
from landscape.results import Result, read_result
from landscape.statistics import wilson
from tests.problems import assert_untouched, examples, fill, state_of


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    # The thousand steps that a real evaluation spends on its sample would be most of these tests' time.
    monkeypatch.setattr("landscape.evaluation.adequacy.MORE_STEPS", 20)
    monkeypatch.setattr("landscape.evaluation.adequacy.MORE_RESTARTS", 2)


QUICK = "clean,pgd5,apgd-ce:steps=5,square:queries=20"


def problem(n: int = 40, *, scale: float = 1.0) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    net = fill(nn.Sequential(nn.Flatten(), nn.Linear(25, 12), nn.ReLU(), nn.Linear(12, 3)), seed=1)
    images = examples(n, (1, 5, 5), dtype=torch.float32)[0]
    with torch.no_grad():
        net[3].bias -= net(images).mean(0)
        net[3].weight *= scale
        net[3].bias *= scale
        labels = net(images).argmax(1)
    labels[::10] = (labels[::10] + 1) % 3
    return net, (images, labels)


class Kept:
    """A snapshot in memory, which stops the run after so many offers."""

    def __init__(self, stop: int | None = None, state: Mapping[str, np.ndarray] | None = None) -> None:
        self.stop, self.state, self.offers = stop, state, 0

    def load(self) -> Any:
        return self.state

    def offer(self, state: Callable[[], Mapping[str, np.ndarray]]) -> None:
        self.offers += 1
        self.state = {name: np.array(array) for name, array in state().items()}
        if self.offers == self.stop:
            raise KeyboardInterrupt


def test_error_rates_are_those_of_the_verdicts(tmp_path: Any) -> None:
    net, data = problem()
    before = state_of(net)
    result = evaluate([net, net], data, eps=0.05, attacks=QUICK, names=["a", "b"], seed=3)
    assert_untouched(net, before)
    assert np.array_equal(result.error_rate, (~result.correct).mean(2))
    assert np.array_equal(result.correct[0], result.correct[1])
    assert result.worst_case[0] == (~result.correct[0].all(0)).mean() >= result.error_rate.max()
    assert (result.error_low[0, 1], result.error_high[0, 1]) == wilson(int((~result.correct[0, 1]).sum()), 40)
    assert result.error_rate[0, 0] == pytest.approx(0.1) and result.indices.tolist() == list(range(40))
    assert len(result.verdicts) == 2 and result.curve_examples == 40
    assert result.checkpoints.tolist() == ["a", "b"] and result.attacks.tolist()[0] == "clean"
    back = read_result(result.save(tmp_path / "e.h5"))
    assert all(np.array_equal(back.arrays[name], array) for name, array in result.arrays.items())


def test_the_package_offers_it() -> None:
    net, data = problem(8)
    result = landscape.evaluate(net, data, eps="8/255", attacks=["clean", "pgd5"], adequacy=False)
    assert isinstance(result, Result) and result.eps == 8 / 255 and "curve/eps" not in result.arrays


def test_clean_alone_needs_no_radius() -> None:
    net, data = problem(8)
    result = evaluate(net, data, eps=0, attacks="clean")
    assert result.error_rate.shape == (1, 1) and result.attack == "none" and result.adversary == "none"


@pytest.mark.parametrize("stop", [1, 4, 9])
def test_resumed_is_uninterrupted(stop: int) -> None:
    net, data = problem()
    settings: dict[str, Any] = {"eps": 0.05, "attacks": "clean,pgd5,square:queries=20", "batch_size": 19}
    whole = evaluate([net, net], data, **settings)
    kept = Kept(stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate([net, net], data, **settings, snapshot=kept)
    resumed = evaluate([net, net], data, **settings | {"batch_size": None}, snapshot=Kept(state=kept.state))
    for name, array in whole.arrays.items():
        assert np.array_equal(resumed.arrays[name], array, equal_nan=array.dtype.kind == "f"), name
    assert resumed.verdicts == whole.verdicts


def test_an_ensemble_is_judged_as_the_net_of_the_mean_softmax() -> None:
    (one, data), (other, _) = problem(), problem(scale=0.5)
    joined = evaluate([one, other], data, eps=0.05, attacks=QUICK, ensemble="softmax", names=["a", "b"], adequacy=False)
    alone = evaluate(Ensemble([one, other]), data, eps=0.05, attacks=QUICK, adequacy=False)
    assert np.array_equal(joined.correct, alone.correct)
    assert joined.checkpoints.tolist() == ["a + b"] and joined.ensemble == "softmax"
    assert joined.n_parameters == 2 * sum(p.numel() for p in one.parameters())


class Rounded(nn.Module):
    """A net that rounds its pixels: no gradient reaches them, and it is no safer for that."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net((20 * x).round() / 20)


def test_a_net_that_hides_its_gradients_is_suspect_and_the_plain_one_is_not() -> None:
    net, data = problem()
    attacks = "clean,pgd50,apgd-ce:steps=50,apgd-dlr:steps=50,square:queries=300"
    plain, hidden = (evaluate(judged, data, eps=0.1, attacks=attacks) for judged in (net, Rounded(net)))
    assert plain.verdicts[0].startswith("adequate: 2 restarts of 20 steps fool 0 % more of 40 examples")
    assert hidden.verdicts[0].startswith("suspect: ")
    assert "100 % of the sample have an input gradient of exactly 0" in hidden.verdicts[0]
    assert "square fools" in hidden.verdicts[0]
    black_box = hidden.arrays["adequacy/black_box"][0]
    gradients = hidden.correct[0, :4].all(0)
    assert black_box == (gradients & ~hidden.correct[0, 4]).mean() > 0.1


def test_too_little_effort_is_suspect() -> None:
    net, data = problem()
    weak = evaluate(net, data, eps=0.1, attacks="clean,pgd:steps=1,rel_step=0.01")
    assert "more steps and restarts fool" in weak.verdicts[0] and weak.arrays["adequacy/missed"][0] > 0.1


def test_a_constant_net_is_no_sign_of_masking() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.level = nn.Parameter(torch.tensor([1.0, 0.0, 0.5]))

        def forward(self, x: Tensor) -> Tensor:
            return self.level + 0 * x.flatten(1)[:, :1]

    _, data = problem()
    result = evaluate(Constant(), data, eps=0.1, attacks="clean,pgd5")
    assert "only" not in result.verdicts[0] and np.allclose(result.arrays["curve/error_rate"], result.error_rate[0, 0])


def test_a_curve_grows_and_begins_at_the_clean_error() -> None:
    net, data = problem()
    result = evaluate(net, data, eps=0.05, attacks=QUICK, curve=True)
    radii, rates = result.arrays["curve/eps"], result.arrays["curve/error_rate"][0]
    assert radii[0] == 0 and 0.05 in radii and radii[-1] == 1 and (np.diff(radii) > 0).all()
    assert rates[0] == result.error_rate[0, 0] and (np.diff(rates) >= 0).all() and rates[-1] == 1
    two = evaluate(net, data, eps=0.3, norm="l2", attacks="clean,pgd5,apgd-ce:steps=5")
    assert two.arrays["curve/eps"][-1] == math.sqrt(25) and two.norm == "l2"


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        (lambda net: nn.Sequential(net, nn.Softmax(1)), {}, "the net gives probabilities"),
        (lambda net: nn.Sequential(net, nn.Dropout(0.5)).eval(), {"attacks": "clean,pdg5"}, "'pdg5' is unknown"),
        (lambda net: net, {"eps": 0}, "eps = 0 leaves nothing to attack"),
        (lambda net: net, {"preset": "standard"}, "apgd-t needs 4 classes or more"),
        (lambda net: net, {"ensemble": "mean"}, "'mean' is unknown"),
        (lambda net: net, {"eps": 8}, "did you mean 8/255"),
        (lambda net: net, {"n_examples": 0}, "n-examples = 0"),
        (lambda net: [], {}, "no net came"),
        (lambda net: "net.pt", {}, "wanted a torch.nn.Module"),
    ],
)
def test_says_what_cannot_be_evaluated(change: Any, settings: dict[str, Any], words: str) -> None:
    net, data = problem(8)
    with pytest.raises(UsageError, match=words):
        evaluate(change(net), data, **{"eps": 0.05, "attacks": QUICK if "preset" not in settings else None} | settings)


def test_a_randomised_net_and_one_of_nan_are_refused() -> None:
    class Noisy(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) + torch.rand(3)

    net, data = problem(8)
    with pytest.raises(UsageError, match="Noisy gives another output at each call"):
        evaluate(Noisy(net), data, eps=0.05, attacks=QUICK)
    net[3].bias.data[0] = torch.nan
    with pytest.raises(LandscapeError, match="the net returns NaN for 8 of 8 images"):
        evaluate(net, data, eps=0.05, attacks=QUICK)
    members = [problem(8)[0], fill(nn.Sequential(nn.Flatten(), nn.Linear(25, 4)), seed=1)]
    with pytest.raises(UsageError, match=r"different numbers of scores \(3, 4\)"):
        evaluate(members, data, eps=0.05, attacks=QUICK, ensemble="softmax")
