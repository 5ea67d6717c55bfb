"""Evaluation where labels are numbers: the largest loss in a ball in closed form, and what means nothing there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape
from landscape.errors import UsageError
from landscape.evaluation import of_numbers
from landscape.losses import squared_error
from landscape.results import Result

EPS = 0.1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the check of adequacy take a part of its effort: a linear map hides nothing."""
    monkeypatch.setattr(of_numbers, "MORE_STEPS", 40)
    monkeypatch.setattr(of_numbers, "MORE_RESTARTS", 1)


def problem() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """Return a linear map of four pixels to a number, in float64, and images well inside the box with far targets."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 1)).double()
    with torch.no_grad():
        net[1].weight.copy_(torch.randn(1, 4, generator=generator))
        net[1].bias.zero_()
    images = 0.3 + 0.4 * torch.rand(12, 1, 2, 2, generator=generator)
    return net, (images, 3 + torch.rand(12, generator=generator))


def measured(norm: str = "linf", **settings: object) -> Result:
    net, data = problem()
    return landscape.evaluate(net, data, eps=EPS, norm=norm, loss=squared_error, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_the_largest_squared_error_of_a_linear_map_is_known(norm: str, dual: int) -> None:
    net, (images, targets) = problem()
    found = measured(norm)
    apart = (net(images.double())[:, 0] - targets).abs().detach()
    largest = (apart + EPS * float(net[1].weight.detach().norm(dual))).square().numpy()  # type: ignore[union-attr, operator]
    losses = found.arrays["example_loss"][0]
    np.testing.assert_allclose(losses[0], apart.square().numpy(), rtol=1e-12)
    np.testing.assert_allclose(losses[1], largest, rtol=1e-6)
    assert found.arrays["loss"][0, 1] == pytest.approx(largest.mean(), rel=1e-6)
    assert found.arrays["loss_se"][0, 1] == pytest.approx(largest.std(ddof=1) / np.sqrt(12), rel=1e-5)
    assert found.arrays["worst_loss"][0] == found.arrays["loss"][0, 1]
    for name in ("error_rate", "error_low", "error_high", "worst_case"):
        assert np.isnan(found.arrays[name]).all()
    assert "correct" not in found.arrays
    assert str(found.attrs["verdicts"]).startswith("['adequate: 1 restarts of 40 steps")
    assert found.arrays["adequacy/loss_risen"][0] == pytest.approx(0, abs=1e-5)


def test_an_attack_that_is_too_weak_is_suspect() -> None:
    found = measured(attacks="clean,pgd:steps=1,step=0.001,start=zero")
    assert str(found.attrs["verdicts"]).startswith("['suspect: ")
    assert found.arrays["adequacy/loss_risen"][0] > 0.02 * found.arrays["loss"][0, 1]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"attacks": "clean,apgd-dlr"}, "apgd-dlr looks for images of another class"),
        ({"preset": "standard"}, "apgd-ce looks for images of another class"),
        ({"curve": True}, "a curve counts errors"),
        ({"cascade": True}, "a cascade goes by who is right"),
        ({"ensemble": "softmax"}, "give --join logits"),
    ],
)
def test_what_counts_errors_is_refused(settings: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        measured(**settings)


def test_an_ensemble_of_numbers_is_their_mean_and_files_are_rechecked(tmp_path: Path) -> None:
    net, data = problem()
    other, _ = problem()
    with torch.no_grad():
        other[1].weight.mul_(3)  # type: ignore[operator, union-attr]
    nets = [net, other]
    found = landscape.evaluate(nets, data, eps=EPS, loss=squared_error, ensemble="logits", attacks="clean")
    mean = 2 * net(data[0].double())[:, 0]
    assert found.arrays["loss"][0, 0] == pytest.approx(float((mean - data[1]).detach().square().mean()), rel=1e-12)
    alone = measured(adequacy=False)
    path = alone.save(tmp_path / "e.h5")
    assert landscape.recheck(path, model=net, data=data, loss=squared_error).passed
    alone.arrays["example_loss"][0, 1] *= 0.9
    forged = landscape.recheck(alone.save(tmp_path / "f.h5"), model=net, data=data, loss=squared_error)
    groups = {check.group for check in forged.differing}
    assert {"loss from its examples'", "losses of Sequential"} <= groups
