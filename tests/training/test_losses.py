"""Training by a loss of one's own: an update in closed form, clean and attacked, and what is said of errors."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import UsageError
from landscape.losses import squared_error
from landscape.training import Recipe, train
from landscape.training.guard import Guard

LR = 0.05


def problem() -> tuple[nn.Module, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False)).double()
    with torch.no_grad():
        net[1].weight.copy_(torch.randn(1, 4, generator=generator))
    images = (0.3 + 0.4 * torch.rand(8, 1, 2, 2, generator=generator)).double()
    return net, images, 3 + torch.rand(8, generator=generator)


@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_an_update_on_the_squared_error_is_the_known_one(eps: float) -> None:
    """At its worst image x + eps sign(r w) the residual r has grown by eps ||w||_1, away from 0."""
    net, images, targets = problem()
    w = net[1].weight.detach().clone()[0]
    x = images.flatten(1)
    residual = x @ w - targets
    worst = x + eps * residual.sign()[:, None] * w.sign()
    wanted = w - LR * (2 * (worst @ w - targets)[:, None] * worst).mean(0)
    attack = "pgd:steps=20,rel_step=0.25,restarts=1"
    history = train(
        net, (images, targets), eps=eps, loss="squared_error", epochs=1, optimizer="sgd", lr=LR, momentum=0.0,
        batch_size=8, attack=attack,
    )  # fmt: skip
    torch.testing.assert_close(net[1].weight.detach()[0], wanted, rtol=1e-6, atol=1e-8)
    assert history[0]["loss"] == pytest.approx(float((worst @ w - targets).square().mean()), rel=1e-6)
    assert math.isnan(history[0]["error"])


def test_a_loss_on_classes_still_counts_errors() -> None:
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.rand(20, 1, 2, 2, generator=generator), torch.arange(20) % 2
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))

    def hinge(scores: Tensor, labels: Tensor) -> Tensor:
        own = scores.gather(1, labels[:, None])[:, 0]
        return (1 - own + scores.gather(1, 1 - labels[:, None])[:, 0]).clamp(min=0)

    history = train(net, (images, labels), eps=0.01, loss=hinge, epochs=1, batch_size=10)
    assert 0 <= history[0]["error"] <= 1
    with pytest.raises(UsageError, match="one value per example"):
        train(net, (images, labels), eps=0, loss=lambda outputs, labels: outputs.mean(), epochs=1, batch_size=10)


def test_the_guard_has_nothing_to_say_of_numbers(tmp_path: Path) -> None:
    from landscape.data import as_data

    _, images, targets = problem()
    guard = Guard(Recipe(0.1), as_data((images, targets), targets=True), 1, loss=squared_error)
    guard.check_labels(targets, 0)
    assert guard.every == 0 and guard.standing() == []
