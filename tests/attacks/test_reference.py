"""The reference's attacks: what the package finds on each example alone, whatever surrounds it, and without a trace."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from landscape.attacks import APGD, FAB, L2Ball, LinfBall, ReferenceAttack, Square, package_seed
from landscape.errors import LandscapeError, UsageError
from landscape.losses import cross_entropy
from landscape.models import build_model
from tests.problems import assert_untouched, examples, fill, lenet, resnet, state_of

CLASSES = 5
N = 9
BALLS = [LinfBall(0.06), L2Ball(0.5)]
of_each_norm = pytest.mark.parametrize("ball", BALLS, ids=lambda ball: ball.norm)
every_attack = pytest.mark.parametrize(
    "make",
    [
        lambda ball: APGD(ball, steps=12, restarts=3),
        lambda ball: APGD(ball, loss="dlr", steps=12, restarts=2),
        lambda ball: APGD(ball, loss="dlr-targeted", steps=10, targets=3),
        lambda ball: Square(ball, queries=60, restarts=2),
        lambda ball: FAB(ball, steps=8, targets=3),
    ],
    ids=["apgd-ce", "apgd-dlr", "apgd-t", "square", "fab-t"],
)


class Doubled(nn.Module):
    """A net that sums in float64, and whose float32 scores then do not depend on the batch."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.double()).float()


def problem(n: int = N) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a net, images and the labels that it gives most of them: some fall to the attacks, some do not."""
    net = build_model("mlp:hidden=12,activation=relu", input=(1, 6, 6), classes=CLASSES, seed=1)[0].double()
    net = Doubled(fill(net, seed=1, scale=0.3)).eval()
    images = examples(n, (1, 6, 6), dtype=torch.float32)[0]
    with torch.no_grad():
        labels = net(images).argmax(1)
    labels[::6] = (labels[::6] + 1) % CLASSES  # misclassified from the beginning
    return net, images, labels


def package(attack: ReferenceAttack, net: nn.Module, seed: int) -> Any:
    """Return the package's own attack of these settings, as its documentation says to make it."""
    common = {"norm": {"linf": "Linf", "l2": "L2"}[attack.ball.norm], "eps": attack.ball.eps, "seed": seed}
    if isinstance(attack, Square):
        return SquareAttack(net, n_queries=attack.queries, n_restarts=attack.restarts, resc_schedule=False, **common)
    if isinstance(attack, FAB):
        return FABAttack_PT(net, n_iter=attack.steps, targeted=True, n_target_classes=attack.targets, **common)
    assert isinstance(attack, APGD)
    if attack.loss == "dlr-targeted":
        return APGDAttack_targeted(
            net, n_iter=attack.steps, n_target_classes=attack.targets, n_restarts=attack.restarts, **common
        )
    return APGDAttack(net, n_iter=attack.steps, n_restarts=attack.restarts, loss=attack.loss, **common)


# What the package, called by itself, warns of.
@pytest.mark.filterwarnings("ignore:there are 1 points with zero gradient")
@every_attack
@of_each_norm
def test_equals_the_package_called_on_each_example_alone(make: Any, ball: LinfBall | L2Ball) -> None:
    net, images, labels = problem()
    attack = make(ball)
    indices = list(range(40, 40 + N))
    alone = []
    for i, index in enumerate(indices):
        seed = package_seed(3, attack.name, None if isinstance(attack, Square) else index)
        alone.append(package(attack, net, seed).perturb(images[i : i + 1].clone(), labels[i : i + 1]))
    wanted = torch.cat(alone)
    found = attack(net, images, labels, seed=3, indices=indices)
    # Bit for bit: every operation of the package acts on one example, and the net sums in float64.
    assert torch.equal(found, wanted)
    fooled = net(found).argmax(1) != labels
    assert fooled.sum() > len(labels[::6]) and not fooled.all()  # else nothing was compared


@every_attack
def test_batches_order_and_global_state_do_not_matter(make: Any) -> None:
    net, images, labels = problem()
    attack = make(LinfBall(0.06))
    whole = attack(net, images, labels, seed=1)
    torch.rand(7)
    pieces = [
        attack(net, images[i : i + 3], labels[i : i + 3], seed=1, indices=range(i, min(i + 3, N)))
        for i in range(0, N, 3)
    ]
    assert torch.equal(torch.cat(pieces), whole)
    back = list(reversed(range(N)))
    assert torch.equal(attack(net, images[back], labels[back], seed=1, indices=back)[back], whole)


@every_attack
@of_each_norm
def test_stays_in_the_ball_and_the_box_and_returns_clean_where_it_fails(make: Any, ball: LinfBall | L2Ball) -> None:
    net, images, labels = problem()
    found = make(ball)(net, images, labels)
    shift = (found - images).flatten(1)
    lengths = shift.abs().amax(1) if ball.norm == "linf" else shift.norm(dim=1)
    assert lengths.max() <= ball.eps * (1 + 1e-5)  # the package adds and subtracts eps in float32
    assert found.min() >= 0 and found.max() <= 1
    robust = net(found).argmax(1) == labels
    assert torch.equal(found[robust], images[robust])


@every_attack
@pytest.mark.parametrize("fails", [False, True])
def test_leaves_the_net_and_the_generators_as_they_were(make: Any, fails: bool) -> None:
    net = resnet(dtype=torch.float32).train()
    if fails:
        net.bn1.running_var.fill_(-1)  # whose root is NaN
    images, labels = examples(6, dtype=torch.float32)
    attack = make(LinfBall(0.1))
    if attack.least_classes > 3:
        pytest.skip("three classes")
    if hasattr(attack, "targets"):
        attack = type(attack)(attack.ball, steps=3, targets=2)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    kept, python = images.clone(), random.getstate()
    before = state_of(net)
    if fails:
        with pytest.raises(LandscapeError, match="NaN"):
            attack(net, images, labels)
    else:
        attack(net, images, labels)
    assert_untouched(net, before)
    assert torch.equal(images, kept) and random.getstate() == python


class Kept(nn.Module):
    """A net that hands out its own bias as the scores, which an attack must not write into."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([0.3, 0.2, 0.1]))

    def forward(self, x: Tensor) -> Tensor:
        return self.bias.expand(len(x), 3) if not torch.is_grad_enabled() else self.bias + 0 * x.flatten(1)[:, :1]


def test_square_does_not_write_into_the_scores() -> None:
    net = Kept()
    images, labels = examples(4, dtype=torch.float32)
    Square(LinfBall(0.1), queries=5)(net, images, torch.zeros_like(labels))
    assert net.bias.tolist() == pytest.approx([0.3, 0.2, 0.1])


def test_a_constant_net_is_not_fooled_and_stops_nobody() -> None:
    # Every margin is exactly 0, and no gradient reaches the pixels: argmax gives class 0, which is right.
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.level = nn.Parameter(torch.zeros(4))

        def forward(self, x: Tensor) -> Tensor:
            return self.level.expand(len(x), 4)

    images, labels = examples(3, dtype=torch.float32)
    for attack in (APGD(LinfBall(0.1), steps=3), APGD(LinfBall(0.1), loss="dlr", steps=3), Square(LinfBall(0.1))):
        found = attack(Constant(), images, torch.zeros_like(labels))
        assert torch.equal(Constant()(found).argmax(1), torch.zeros_like(labels))


@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_strongest_is_the_packages_best_loss(loss: str) -> None:
    net, images, labels = problem()
    attack = APGD(LinfBall(0.06), loss=loss, steps=12)
    found, losses = attack.strongest(net, images, labels, seed=3)
    for i in range(N):
        torch.manual_seed(package_seed(3, attack.name, i))  # with best_loss the package seeds nothing itself
        alone = package(attack, net, 0).perturb(images[i : i + 1], labels[i : i + 1], best_loss=True)
        assert torch.equal(found[i : i + 1], alone)
    assert torch.equal(losses, cross_entropy(net(found), labels))


@pytest.mark.parametrize("attack", [APGD(LinfBall(0.06), steps=12), Square(LinfBall(0.06), queries=60)])
def test_strongest_spends_all_on_fooled_examples_too(attack: ReferenceAttack) -> None:
    net, images, labels = problem()
    fooling = cross_entropy(net(attack(net, images, labels)), labels)
    found, losses = attack.strongest(net, images, labels)
    assert (found - images).abs().max() <= 0.06 * (1 + 1e-5)
    assert (losses >= cross_entropy(net(images), labels)).all()
    assert losses.mean() > fooling.mean() + 0.05  # the attack stops at the boundary, the search for loss does not


def test_strongest_is_close_to_the_exact_maximum_of_a_linear_net() -> None:
    # Two classes: the loss is log(1 + exp(-m)), and no shift of at most eps lowers the margin by more than eps |w|_1.
    net = fill(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), seed=2)
    images, labels = examples(20, (1, 4, 4), dtype=torch.float32)
    images, labels = 0.3 + 0.4 * images, labels % 2
    with torch.no_grad():
        outputs = net(images)
        margin = outputs[range(20), labels] - outputs[range(20), 1 - labels]
        exact = torch.nn.functional.softplus(-(margin - 0.1 * (net[1].weight[0] - net[1].weight[1]).abs().sum()))
    losses = APGD(LinfBall(0.1), steps=20).strongest(net, images, labels)[1]
    torch.testing.assert_close(losses, exact, rtol=1e-5, atol=1e-6)  # a vertex, reached exactly: rounding of float32
    assert (Square(LinfBall(0.1), queries=200).strongest(net, images, labels)[1] <= exact + 1e-5).all()


def test_eps_0_changes_nothing() -> None:
    net, images, labels = problem()
    assert torch.equal(APGD(LinfBall(0))(net, images, labels), images)
    found, losses = Square(LinfBall(0)).strongest(net, images, labels)
    assert torch.equal(found, images) and torch.equal(losses, cross_entropy(net(images), labels))


def test_a_tick_before_every_forward_pass_can_stop_an_attack() -> None:
    net, images, labels = problem()
    calls = []

    def tick() -> None:
        calls.append(None)
        if len(calls) == 9:
            raise KeyboardInterrupt

    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        Square(LinfBall(0.06))(net, images, labels, tick=tick)
    assert len(calls) == 9 and torch.equal(torch.get_rng_state(), before)


class Noisy(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.net = kind, lenet(dtype=torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand(3) if self.kind == "torch" else torch.from_numpy(np.random.rand(3)).float()  # noqa: NPY002
        return self.net(x) + noise


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_a_randomised_net_is_refused(kind: str) -> None:
    net = Noisy(kind)
    images, labels = examples(4, dtype=torch.float32)
    before = state_of(net)
    with pytest.raises(UsageError, match="two forward passes on the same images differ"):
        APGD(LinfBall(0.1))(net, images, labels)
    assert_untouched(net, before)


@pytest.mark.parametrize(
    ("make", "net", "words"),
    [
        (lambda: APGD(LinfBall(0.1), loss="dlr"), nn.Linear(4, 2), "apgd-dlr needs 3 classes or more.*has 2"),
        (lambda: APGD(LinfBall(0.1), loss="dlr-targeted"), nn.Linear(4, 3), "apgd-t needs 4 classes or more.*has 3"),
        (lambda: APGD(LinfBall(0.1)), nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), "the net gives probabilities"),
        (lambda: APGD(LinfBall(0.1)), nn.Linear(4, 1), "wanted one row of logits each, one for every class"),
        (lambda: APGD(LinfBall(0.1), loss="dlt"), nn.Linear(4, 3), "'dlt'.*dlr"),
        (lambda: APGD(LinfBall(0.1), restarts=0), nn.Linear(4, 3), "restarts = 0 in apgd-ce"),
        (lambda: Square(L2Ball(1.0)), nn.Linear(4, 3), "5x5 or larger in l2"),
        (lambda: FAB(LinfBall(0.1)).strongest, nn.Linear(4, 3), "seeks the boundary"),
    ],
)
def test_says_what_cannot_be_attacked(make: Any, net: nn.Module, words: str) -> None:
    images = torch.rand(5, 1, 2, 2)
    with pytest.raises(UsageError, match=words):
        make()(nn.Sequential(nn.Flatten(), net), images, torch.tensor([0, 1, 0, 1, 1]))
