"""An ensemble's scores: the log of the mean softmax, with a gradient where softmax itself has none left."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape.attacks import APGD, LinfBall
from landscape.attacks.ensemble import Ensemble
from landscape.errors import UsageError
from tests.problems import assert_untouched, examples, fill, lenet, state_of


def linear(seed: int, scale: float = 1.0, classes: int = 3) -> nn.Module:
    return fill(nn.Sequential(nn.Flatten(), nn.Linear(16, classes)), seed=seed, scale=scale).double()


def test_is_the_log_of_the_mean_softmax() -> None:
    nets = [linear(seed) for seed in range(3)]
    images = examples(5, (1, 4, 4))[0]
    mean = torch.stack([net(images).softmax(1) for net in nets]).mean(0)
    torch.testing.assert_close(Ensemble(nets)(images), mean.log())
    torch.testing.assert_close(Ensemble(nets, join="logits")(images), torch.stack([n(images) for n in nets]).mean(0))


def test_one_member_is_itself() -> None:
    net, images = linear(0), examples(5, (1, 4, 4))[0]
    torch.testing.assert_close(Ensemble([net])(images), net(images).log_softmax(1))


def test_has_a_gradient_where_every_member_is_certain() -> None:
    # Logits hundreds apart: in float32 the softmax of the truth is 1, its log 0, and the naive gradient vanishes.
    nets = [linear(0, scale=scale).float() for scale in (200, 190)]
    images = examples(5, (1, 4, 4), dtype=torch.float32)[0].requires_grad_()
    joined = Ensemble(nets)
    scores = joined(images)
    labels = scores.argmax(1)
    assert (scores.detach().exp().amax(1) == 1).any()
    margin = scores.gather(1, labels[:, None])[:, 0] - scores.scatter(1, labels[:, None], -torch.inf).amax(1)
    (gradient,) = torch.autograd.grad(margin.sum(), images)
    assert gradient.flatten(1).abs().amax(1).min() > 1 and gradient.isfinite().all()


def test_is_attacked_as_one_net_and_left_as_it_was() -> None:
    nets = [lenet(seed=seed, dtype=torch.float32) for seed in range(2)]
    joined = Ensemble(nets)
    images, labels = examples(6, dtype=torch.float32)
    before = state_of(joined)
    APGD(LinfBall(0.2), steps=3)(joined, images, labels)
    assert_untouched(joined, before)


def test_members_of_different_label_counts_are_refused() -> None:
    joined = Ensemble([linear(0), linear(1, classes=4)])
    with pytest.raises(UsageError, match=r"different numbers of scores \(3, 4\)"):
        joined(examples(2, (1, 4, 4))[0])
    with pytest.raises(UsageError, match="'mean'"):
        Ensemble([linear(0)], join="mean")
    with pytest.raises(UsageError, match="no nets"):
        Ensemble([])
