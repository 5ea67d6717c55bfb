"""Verdicts: the package's and the plain loop's, bounded by what is true, and resumed without a difference."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape.attacks import APGD, PGD, L2Ball, LinfBall, Square
from landscape.data import as_data, select
from landscape.errors import LandscapeError, UsageError
from landscape.evaluation import Examinee, Suite, Verdicts, parse_suite
from landscape.evaluation.ascent import fool
from landscape.evaluation.verdicts import RIGHT, UNKNOWN
from landscape.streams import example_streams
from tests.problems import assert_untouched, examples, fill, resnet, state_of

CLASSES = 3
ALL = "clean,pgd20,apgd-ce:steps=15,apgd-dlr:steps=15,square:queries=80,fab-t:steps=8,targets=2"


def linear(classes: int = CLASSES) -> nn.Module:
    return fill(nn.Sequential(nn.Flatten(), nn.Linear(25, classes)), seed=0).double()


def centred(net: nn.Module, head: nn.Linear, images: Tensor) -> nn.Module:
    """Shift the scores so that each class is of mean 0 over the images: no class has them all, by far."""
    with torch.no_grad():
        head.bias -= net(images).mean(0)
    return net


def problem(n: int = 40, *, classes: int = CLASSES) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a linear net on images away from the faces of the box, and labels that are wrong on every eighth."""
    net, images = linear(classes), 0.2 + 0.6 * examples(n, (1, 5, 5))[0]
    centred(net, net[1], images)
    labels = net(images).argmax(1)
    labels[::8] = (labels[::8] + 1) % classes
    return net, images, labels


def verdicts(net: nn.Module, images: Tensor, labels: Tensor, suite: Suite, **settings: Any) -> Verdicts:
    examinee = Examinee(net, select(as_data((images, labels)), "all"), **settings)
    found = Verdicts(suite, len(images))
    for _ in found.examine(examinee):
        pass
    return found


def withstood(net: nn.Module, images: Tensor, labels: Tensor, eps: float, norm: str) -> Tensor:
    """Return which examples no shift of norm eps can fool (N,), exactly: a linear net's margins move by eps |w|*."""
    weight, bias = net[1].weight.detach(), net[1].bias.detach()
    worst = torch.full((len(labels),), torch.inf, dtype=weight.dtype)
    for other in range(len(weight)):
        difference = weight[labels] - weight[other]
        dual = difference.abs().sum(1) if norm == "linf" else difference.norm(dim=1)
        margin = (difference * images.flatten(1)).sum(1) + bias[labels] - bias[other] - eps * dual
        worst = torch.where(labels == other, worst, torch.minimum(worst, margin))
    return worst > 0


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.02), ("l2", 0.12)])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_truth_bounds_every_attack_and_apgd_reaches_it_on_a_linear_net(norm: str, eps: float, classes: int) -> None:
    net, images, labels = problem(classes=classes)
    exact = withstood(net, images, labels, eps, norm).numpy()
    ball = LinfBall(eps) if norm == "linf" else L2Ball(eps)
    targeted = "apgd-dlr:steps=15,apgd-t:steps=15,fab-t:steps=8" if classes > 3 else "fab-t:steps=8"
    suite = parse_suite(f"clean,pgd20,apgd-ce:steps=15,square:queries=80,{targeted}", ball)
    found = verdicts(net, images, labels, suite).correct
    assert 5 < exact.sum() < 32 and found[0].sum() == 35
    for name, correct in zip(suite.names, found, strict=True):
        assert (correct >= exact).all(), name  # no attack may fool what cannot be fooled
    if classes == 2:
        assert np.array_equal(found[suite.names.index("apgd-ce:steps=15")], exact)
    else:
        # An ascent heads for the runner-up, which need not be the class within reach; towards each class it is exact.
        assert np.array_equal(found[suite.names.index("apgd-t:steps=15")], exact)


def test_exhaustive_truth_on_a_relu_net_of_two_pixels() -> None:
    # The scores are linear between kinks: on a grid finer than the kinks' distances, what is fooled somewhere is seen.
    net = fill(nn.Sequential(nn.Flatten(), nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, CLASSES)), seed=6, scale=2.0)
    net, eps, side = net.double(), 0.1, 101
    images = examples(60, (1, 1, 2))[0]
    centred(net, net[3], images)
    labels = net(images).argmax(1)
    steps = torch.linspace(-eps, eps, side, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    everywhere = (images.flatten(1)[:, None] + grid).clamp(0, 1)  # (N, side^2, 2)
    fooled_somewhere = (net(everywhere.reshape(-1, 1, 1, 2)).argmax(1).view(60, -1) != labels[:, None]).any(1).numpy()
    # Between neighbours of the grid no margin moves by more than L eps / (side - 1), L a bound of its slope.
    slope = 2 * net[3].weight.abs().max() * 8 * net[1].weight.abs().sum(1).max()
    scores = net(everywhere.reshape(-1, 1, 1, 2)).detach().view(60, -1, CLASSES)
    truth = scores.gather(2, labels[:, None, None].expand(60, scores.shape[1], 1))
    margins = (truth - scores.scatter(2, labels[:, None, None].expand_as(truth), -torch.inf)).amin((1, 2))
    certainly_safe = (margins > slope * eps / (side - 1)).numpy()
    suite = parse_suite("clean,pgd50,apgd-ce,apgd-dlr,square:queries=200", LinfBall(eps))
    found = verdicts(net, images, labels, suite).correct
    assert fooled_somewhere.sum() > 10 and certainly_safe.sum() > 10
    assert (found[:, certainly_safe]).all()  # nothing is fooled that cannot be
    worst = ~found.all(0)
    assert worst[fooled_somewhere].mean() > 0.9  # a ReLU net may hide a corner from every ascent
    assert not (worst & ~fooled_somewhere & certainly_safe).any()


def plain_loop(
    net: nn.Module, images: Tensor, labels: Tensor, attack: PGD, indices: list[int]
) -> tuple[Tensor, Tensor]:
    """Return right at the last iterate (N,) and right at all (N,): PGD as a textbook has it, with `backward()`."""
    generators = example_streams(0, "attack/restart0", indices)
    start = attack.ball.with_eps(min(attack.step_size, attack.ball.eps)) if attack.start == "step" else attack.ball
    x = (images + start.random_points(generators, images.shape[1:]).to(images)).clamp(0, 1)
    x = torch.minimum(torch.maximum(x, images - attack.ball.eps), images + attack.ball.eps)
    always = torch.ones(len(labels), dtype=torch.bool)
    for _ in range(attack.steps):
        x = x.detach().requires_grad_()
        scores = net(x)
        always &= scores.argmax(1) == labels
        F.cross_entropy(scores, labels, reduction="sum").backward()
        x = x + attack.step_size * x.grad.sign()
        x = torch.minimum(torch.maximum(x, images - attack.ball.eps), images + attack.ball.eps).clamp(0, 1)
    last = net(x).argmax(1) == labels
    return last, always & last


@pytest.mark.parametrize("start", ["ball", "step"])
def test_pgd_equals_a_plain_loop(start: str) -> None:
    net = fill(resnet(dtype=torch.float64), seed=3).eval()
    images = examples(40)[0]
    labels = centred(net, net.classifier, images)(images).argmax(1)
    settings = {"steps": 12, "step": 0.01, "start": start}
    wanted_last, wanted_always = plain_loop(net, images, labels, PGD(LinfBall(0.05), **settings), list(range(40)))
    for keep, wanted in (("last", wanted_last), ("best", wanted_always)):
        suite = Suite(("pgd",), (PGD(LinfBall(0.05), keep=keep, **settings),))
        for batch_size in (40, 7):
            found = verdicts(net, images, labels, suite, batch_size=batch_size)
            assert np.array_equal(found.correct[0], wanted.numpy())
        assert 4 < wanted.sum() < 36


def test_pgd_restarts_go_on_with_what_stands() -> None:
    net, images, labels = problem()
    one, more = (fool(PGD(LinfBall(0.03), steps=1, step=0.005, restarts=r), net, images, labels) for r in (1, 20))
    fooled = net(one).argmax(1) != labels
    assert torch.equal(more[fooled], one[fooled])
    assert (net(more).argmax(1) != labels).sum() > fooled.sum()


def test_batches_the_order_of_attacks_and_global_state_do_not_matter() -> None:
    net, images, labels = problem()
    suite = parse_suite(ALL, LinfBall(0.01))
    wanted = verdicts(net, images, labels, suite)
    torch.manual_seed(5)
    again = verdicts(net, images, labels, suite, batch_size=7)
    assert np.array_equal(again.table, wanted.table)
    turned = Suite(suite.names[::-1], suite.attacks[::-1])
    assert np.array_equal(verdicts(net, images, labels, turned, batch_size=3).table[::-1], wanted.table)


def test_a_cascade_has_the_same_worst_case() -> None:
    net, images, labels = problem()
    suite = parse_suite(ALL, LinfBall(0.01))
    each = verdicts(net, images, labels, suite).correct
    cascade = verdicts(net, images, labels, Suite(suite.names, suite.attacks, cascade=True)).correct
    assert np.array_equal(cascade, np.logical_and.accumulate(each, axis=0))


def test_an_interrupted_examination_goes_on_where_it_was() -> None:
    net, images, labels = problem()
    suite = parse_suite("clean,pgd5,apgd-ce:steps=5,square:queries=20", LinfBall(0.01))
    wanted = verdicts(net, images, labels, suite, batch_size=7)
    examinee = Examinee(net, select(as_data((images, labels)), "all"), batch_size=7)
    batches = sum(1 for _ in Verdicts(suite, 40).examine(examinee))
    for stop in range(2, batches, 7):
        first, second = Verdicts(suite, 40), Verdicts(suite, 40)
        for _ in itertools.islice(first.examine(examinee), stop):
            pass
        second.clean[:], second.table[:] = first.clean, first.table
        left = sum(1 for _ in second.examine(examinee))
        assert left == batches - stop  # nothing is judged twice
        assert np.array_equal(second.table, wanted.table)


def test_memory_that_runs_out_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    net, images, labels = problem()
    suite = parse_suite("clean,pgd5", LinfBall(0.01))
    wanted = verdicts(net, images, labels, suite).table
    right = Examinee.withstands

    def tight(self: Examinee, attack: Any, positions: Tensor, **settings: Any) -> np.ndarray:
        if len(positions) > 5:
            raise torch.OutOfMemoryError("too many")
        return right(self, attack, positions, **settings)

    monkeypatch.setattr(Examinee, "withstands", tight)
    assert np.array_equal(verdicts(net, images, labels, suite, batch_size=16).table, wanted)


def test_leaves_the_net_as_it_was() -> None:
    net = resnet(dtype=torch.float32).train()
    images, labels = examples(6, dtype=torch.float32)
    before = state_of(net)
    verdicts(net, images, labels, parse_suite("clean,pgd5,apgd-ce:steps=3,square:queries=5", LinfBall(0.1)))
    assert_untouched(net, before)


def test_an_attack_that_leaves_the_ball_is_not_believed() -> None:
    class Cheat(Square):
        def __call__(self, model: Any, images: Tensor, labels: Tensor, **settings: Any) -> Tensor:
            return (images + 0.02).clamp(0, 1)

    net, images, labels = problem()
    with pytest.raises(LandscapeError, match="left the ball of eps 0.01"):
        verdicts(net, images, labels, Suite(("square",), (Cheat(LinfBall(0.01)),)))


def test_the_batch_size_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    net, images, labels = problem()
    chosen = select(as_data((images, labels)), "all")
    assert Examinee(net, chosen).batch_size == 256
    monkeypatch.setattr("landscape.evaluation.verdicts.available_bytes", lambda device: 10_000)
    assert 1 <= Examinee(net, chosen).batch_size < 256


def test_unknown_verdicts_are_not_given_out() -> None:
    found = Verdicts(parse_suite("clean", LinfBall(0.1)), 3)
    assert (found.table == UNKNOWN).all() and RIGHT == 1
    with pytest.raises(ValueError, match="unknown"):
        _ = found.correct


def test_a_net_of_two_classes_meets_no_dlr() -> None:
    net = fill(nn.Sequential(nn.Flatten(), nn.Linear(25, 2)), seed=0).double()
    images = examples(8, (1, 5, 5))[0]
    labels = net(images).argmax(1)
    with pytest.raises(UsageError, match="apgd-dlr needs 3 classes or more, and the net has 2"):
        verdicts(net, images, labels, parse_suite("clean,apgd-dlr", LinfBall(0.1)))
    assert verdicts(net, images, labels, Suite(("apgd-ce",), (APGD(LinfBall(0.01), steps=3),))).correct.shape == (1, 8)
