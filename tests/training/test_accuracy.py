"""The judgement of a net: exact on a linear one, independent of the batch size, blind to its mode."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.attacks import PGD, LinfBall
from landscape.data import ImageData
from landscape.streams import stream
from landscape.training import Outcome, collapsed, evaluate_error, judge
from landscape.training.accuracy import is_constant


def toy(n=31):
    images = torch.from_numpy(stream(0, "images").uniform(0.2, 0.8, (n, 1, 2, 2)).astype(np.float32))
    return ImageData(images, torch.arange(n) % 2, 2, "toy", "test")


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))


def test_the_robust_loss_of_a_linear_net_is_its_closed_form():
    data, model, eps = toy(), net(), 0.1
    weight, bias = model[1].weight.detach().double(), model[1].bias.detach().double()
    u, b = weight[1] - weight[0], bias[1] - bias[0]
    margin = (2 * data.labels - 1) * (data.images.flatten(1).double() @ u + b) - eps * u.abs().sum()
    loss, error = evaluate_error(model, data, PGD(LinfBall(eps)))
    assert loss == pytest.approx(torch.log1p(torch.exp(-margin)).mean().item(), abs=1e-6)
    assert error == pytest.approx((margin < 0).double().mean().item())


def test_the_batch_size_changes_nothing():
    attack = PGD(LinfBall(0.1), steps=2)
    whole, parts = (judge(net(), toy(), attack, batch_size=size) for size in (31, 7))
    assert torch.allclose(whole.losses, parts.losses, atol=1e-6)
    assert torch.equal(whole.predictions, parts.predictions)


def test_a_subset_is_seeded_and_counted():
    outcome = judge(net(), toy(), n=10, seed=3)
    assert len(outcome.losses) == len(outcome.predictions) == len(outcome.labels) == 10
    assert torch.equal(outcome.losses, judge(net(), toy(), n=10, seed=3).losses)
    assert not torch.equal(outcome.losses, judge(net(), toy(), n=10, seed=4).losses)


def test_the_net_is_judged_in_eval_mode_and_returned_as_it_was():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 2)).train()
    judge(model, toy(), PGD(LinfBall(0.1), steps=2))
    assert model.training
    assert model[1].num_batches_tracked == 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_progress_ends_at_the_whole():
    calls = []
    judge(net(), toy(), batch_size=20, progress=lambda *call: calls.append(call))
    assert calls == [("test error, clean", 20, 31), ("test error, clean", 31, 31)]


LABELS = torch.tensor([0, 0, 0, 1, 2, 2])
ENTROPY = -(0.5 * np.log(0.5) + np.log(1 / 6) / 6 + np.log(1 / 3) / 3)


@pytest.mark.parametrize(
    ("predictions", "loss", "expected"),
    [
        ([1, 1, 1, 1, 1, 1], 7.0, True),  # one class for everything
        ([0, 0, 1, 1, 2, 2], ENTROPY + 0.002, True),  # the prior's entropy, in nats
        ([0, 0, 1, 1, 2, 2], ENTROPY - 0.002, True),
        ([0, 0, 1, 1, 2, 2], ENTROPY - 0.1, False),
        ([0, 0, 1, 1, 2, 2], 0.1, False),
    ],
)
def test_a_constant_classifier_is_recognised(predictions, loss, expected):
    outcome = Outcome(torch.full((6,), loss, dtype=torch.float64), torch.tensor(predictions), LABELS)
    assert collapsed(outcome) is expected


def test_a_net_is_judged_by_that_rule_whatever_holds_its_data() -> None:
    images, labels = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
    dead = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    torch.nn.init.zeros_(dead[1].weight)
    torch.nn.init.zeros_(dead[1].bias)
    assert is_constant(dead, (images, labels))
    alive = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    alive[1].weight.data.copy_(5 * torch.stack([images[labels == k].mean(0).flatten() for k in range(3)]))
    assert not is_constant(alive, (images, labels), n=6)
    assert alive.training and landscape.is_constant is is_constant


def test_labels_of_one_class_accuse_nobody():
    same = torch.ones(4, dtype=torch.int64)
    assert not collapsed(Outcome(torch.zeros(4), same, same))
