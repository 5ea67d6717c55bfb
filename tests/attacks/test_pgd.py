"""PGD: in its ball, as strong as the closed form on a linear net, the same for every batch, and without a trace."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.attacks import PGD, L2Ball, LinfBall, parse_attack
from landscape.errors import UsageError
from landscape.losses import cross_entropy
from landscape.streams import example_streams
from tests.problems import assert_untouched, examples, fill, lenet, mlp, resnet, state_of

BALLS = [LinfBall(0.15), L2Ball(0.8)]
ball_of_each_norm = pytest.mark.parametrize("ball", BALLS, ids=lambda ball: ball.norm)


def streams_of(indices: range | list[int]) -> Callable[[int], list[np.random.Generator]]:
    return lambda restart: example_streams(7, f"attack/restart{restart}", indices)


def losses_at(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    net.eval()
    with torch.no_grad():
        return cross_entropy(net(images), labels)


@ball_of_each_norm
@pytest.mark.parametrize("start", ["ball", "step", "zero"])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_stays_in_ball_and_box(ball: LinfBall | L2Ball, start: str, keep: str) -> None:
    net, (images, labels) = lenet(dtype=torch.float32), examples(12, dtype=torch.float32)
    images[0], images[1] = 0.0, 1.0  # on the faces of the box
    found = PGD(ball, steps=4, restarts=2, start=start, keep=keep)(net, images, labels)
    shift = (found - images).flatten(1)
    length = shift.abs().amax(1) if ball.norm == "linf" else shift.norm(dim=1)
    assert length.max() <= ball.eps + 1e-6  # float32 rounds a pixel near 1 by 6e-8
    assert found.min() >= 0 and found.max() <= 1
    assert found.shape == images.shape and found.dtype == images.dtype and not found.requires_grad


@ball_of_each_norm
def test_equals_the_closed_form_on_a_linear_net(ball: LinfBall | L2Ball) -> None:
    # Two classes: the loss is log(1 + exp(-m)) at margin m, and no shift of norm eps lowers m by more than eps |w|*.
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 2, dtype=torch.float64))
    fill(net, seed=3)
    images, labels = examples(20, (1, 3, 3))
    images, labels = 0.45 + 0.1 * images, labels % 2  # far enough from the box that it cuts nothing off
    ball = ball.with_eps(0.1)
    # A step of eps/4 turns a point of the sphere to within 1/1.25 of its angle from w: 60 steps leave 2e-6 of it.
    found = PGD(ball, steps=60)(net, images, labels)
    with torch.no_grad():
        outputs = net(images)
        margins = outputs[range(20), labels] - outputs[range(20), 1 - labels]
        w = net[1].weight[0] - net[1].weight[1]
        dual = w.abs().sum() if ball.norm == "linf" else w.norm()
        worst = nn.functional.softplus(-(margins - ball.eps * dual))
    assert torch.allclose(losses_at(net, found, labels), worst, rtol=1e-9, atol=0)


def test_no_budget_no_change() -> None:
    net, (images, labels) = mlp(), examples(4, (1, 2, 3))
    found = PGD(LinfBall(0.0))(net, images, labels)
    assert torch.equal(found, images) and found.data_ptr() != images.data_ptr()


@ball_of_each_norm
def test_best_is_no_worse_than_last_and_more_restarts_no_worse_than_one(ball: LinfBall | L2Ball) -> None:
    net, (images, labels) = fill(lenet(), scale=0.8), examples(30)
    noise = streams_of(range(30))

    def reached(**settings: int | str) -> Tensor:
        # Long steps, so that the last iterate is often not the best.
        attack = PGD(ball, steps=5, rel_step=1.0, **settings)  # type: ignore[arg-type]
        return losses_at(net, attack(net, images, labels, noise=noise), labels)

    best, last, three = reached(), reached(keep="last"), reached(restarts=3)
    rounding = 1e-12
    assert (best >= last - rounding).all() and (best > last + 1e-6).any()
    assert (three >= best - rounding).all() and (three > best + 1e-6).any()
    assert (reached(keep="last", restarts=3) >= last - rounding).all()


def test_the_start_may_be_the_best_of_all_iterates() -> None:
    # Images at the loss's own maximiser: every further step, taken by a reversed gradient, only loses.
    class Reversed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return -gradient

    linear = fill(nn.Linear(4, 3, dtype=torch.float64))
    net = nn.Sequential()
    net.forward = lambda x: linear(Reversed.apply(x.flatten(1)))  # type: ignore[method-assign]
    images, labels = examples(6, (1, 2, 2))
    assert torch.equal(PGD(LinfBall(0.1), start="zero")(net, images, labels), images)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_start_of_one_step_is_no_longer_than_that(norm: str) -> None:
    ball = LinfBall(0.2) if norm == "linf" else L2Ball(0.2)
    images = torch.full((200, 1, 3, 3), 0.5)
    for attack, longest in ((PGD(ball, rel_step=0.25, start="step"), 0.05), (PGD(ball), 0.2)):
        shift = (attack.start_images(images, streams_of(range(200))(0)) - images).flatten(1)
        lengths = shift.abs().amax(1) if norm == "linf" else shift.norm(dim=1)
        assert lengths.max() <= longest + 1e-7
        # Uniform in nine dimensions: the longest of 200 is all but the radius.
        assert lengths.max() > 0.98 * longest


def test_a_start_depends_on_the_example_alone() -> None:
    net, (images, labels) = lenet(), examples(11)
    attack = PGD(LinfBall(0.1), steps=3, restarts=2)
    whole = attack(net, images, labels, noise=streams_of(range(11)))
    parts = [
        attack(net, images[part], labels[part], noise=streams_of(part.tolist()))
        for part in torch.arange(11).split([4, 4, 3])
    ]
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    turned = attack(net, images[order], labels[order], noise=streams_of(order.tolist()))
    # Only a convolution's own rounding may depend on the batch; a sign that it flips would show as 2 steps.
    assert torch.allclose(torch.cat(parts), whole, atol=1e-12)
    assert torch.allclose(turned, whole[order], atol=1e-12)


def test_randomness_is_the_generator_given() -> None:
    net, (images, labels) = mlp(), examples(5, (1, 2, 3))
    attack = PGD(LinfBall(0.1), steps=1, keep="last")

    def found(seed: int) -> Tensor:
        return attack(net, images, labels, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(found(1), found(1)) and not torch.equal(found(1), found(2))
    assert torch.equal(attack(net, images, labels), attack(net, images, labels))


class Fails(nn.Module):
    """Raise in the forward pass, after a BatchNorm layer in train mode would have moved its statistics."""

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("broken")


@pytest.mark.parametrize("broken", [False, True])
def test_leaves_no_trace_on_the_model(broken: bool) -> None:
    net = resnet().train()
    net.layer1.eval()  # mixed modes come back as they were
    net.conv1.weight.requires_grad_(False)
    net.classifier.bias.grad = torch.ones_like(net.classifier.bias)
    model = nn.Sequential(net, Fails()) if broken else net
    images, labels = examples(4)
    kept = images.clone()
    before = state_of(model)
    if broken:
        with pytest.raises(ValueError, match="broken"):
            PGD(LinfBall(0.1))(model, images, labels)
    else:
        PGD(LinfBall(0.1), steps=2)(model, images, labels)
    assert_untouched(model, before)
    assert torch.equal(images, kept) and not images.requires_grad


def test_runs_under_no_grad_and_in_eval_mode() -> None:
    net, (images, labels) = resnet().train(), examples(4)
    attack = PGD(LinfBall(0.1), steps=2)
    with torch.no_grad():
        quiet = attack(net, images, labels)
    assert torch.equal(quiet, attack(net.eval(), images, labels))


@pytest.mark.parametrize("keep", ["best", "last"])
def test_losses_that_are_not_numbers_never_leave_the_ball(keep: str) -> None:
    net, (images, labels) = mlp(), examples(6, (1, 2, 3))

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(outputs, labels) * torch.tensor([torch.nan, 1.0] * 3, dtype=torch.float64)

    found = PGD(LinfBall(0.1), steps=3, keep=keep)(net, images, labels, loss=loss)
    assert ((found - images).abs() <= 0.1 + 1e-6).all()
    # The examples beside them are attacked as ever.
    sane = PGD(LinfBall(0.1), steps=3, keep=keep)(net, images, labels)
    assert torch.allclose(found[1::2], sane[1::2])


def test_a_number_beats_what_is_none() -> None:
    # Losses are NaN on one side of an image's middle: of all iterates one with a number is kept.
    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        return torch.where(outputs[:, 0] > 0.52, torch.nan, outputs[:, 0])

    images = torch.full((1, 1, 1, 1), 0.5)
    net = nn.Flatten()
    found = PGD(LinfBall(0.1), steps=4, start="zero", rel_step=0.15)(net, images, torch.zeros(1, dtype=int), loss=loss)
    assert found.item() == pytest.approx(0.515)


def test_a_loss_per_example_is_demanded() -> None:
    net, (images, labels) = mlp(), examples(3, (1, 2, 3))
    with pytest.raises(UsageError, match="one value per example"):
        PGD(LinfBall(0.1))(net, images, labels, loss=nn.functional.cross_entropy)


@pytest.mark.parametrize(
    "text",
    [
        "pgd:steps=10,rel_step=0.25,restarts=1",
        "pgd:steps=40,step=1/255,restarts=3",
        "pgd:steps=7,step=0.013,restarts=2,start=step,keep=last",
        "pgd:steps=1,rel_step=1.0,restarts=1,start=zero",
    ],
)
def test_an_attack_is_read_back_from_its_words(text: str) -> None:
    attack = parse_attack(text, LinfBall(8 / 255))
    assert str(attack) == text
    assert parse_attack(str(attack), attack.ball) == attack


@pytest.mark.parametrize("settings", [{"rel_step": 1 / 3}, {"step": 0.1 / 3}, {"step": 1e-7}, {"step": 2 / 255}])
def test_words_do_not_round(settings: dict[str, float]) -> None:
    attack = PGD(LinfBall(0.1), **settings)  # type: ignore[arg-type]
    assert parse_attack(str(attack), attack.ball) == attack


def test_defaults_and_steps() -> None:
    attack = parse_attack("pgd", LinfBall(8 / 255))
    assert attack == PGD(LinfBall(8 / 255), steps=10, rel_step=0.25, restarts=1, start="ball", keep="best")
    assert attack.step_size == pytest.approx(2 / 255)
    assert attack.with_eps(4 / 255).step_size == pytest.approx(1 / 255)
    assert parse_attack("pgd:step=1/255", LinfBall(8 / 255)).with_eps(0.5).step_size == pytest.approx(1 / 255)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fgsm", "unknown"),
        ("pgd:run", "unknown"),
        ("pgd:step=0.1,rel_step=0.2", "both"),
        ("pgd:steps=0", "1 or more"),
        ("pgd:steps=2.5", "whole number"),
        ("pgd:steps=-1", "whole number"),
        ("pgd:restarts=0", "1 or more"),
        ("pgd:rel_step=0", "positive"),
        ("pgd:step=-0.1", "positive"),
        ("pgd:step=nan", "no number"),
        ("pgd:stepz=3", "did you mean"),
        ("pgd:start=bal", "did you mean ball"),
        ("pgd:keep=first", "there are best, last"),
    ],
)
def test_attacks_that_cannot_be_meant(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_attack(text, LinfBall(0.1))


def test_a_net_that_gives_no_gradient_at_the_pixels_is_attacked_at_random() -> None:
    def stepped(x: Tensor) -> Tensor:
        return torch.stack([x.round().flatten(1).sum(1), 1 - x.round().flatten(1).sum(1)], dim=1).detach()

    images, labels = torch.full((3, 1, 2, 2), 0.5), torch.zeros(3, dtype=torch.long)
    found = PGD(LinfBall(0.2), steps=3)(stepped, images, labels, generator=torch.Generator().manual_seed(0))
    assert (found - images).abs().max() <= 0.2 + 1e-6 and not torch.equal(found, images)
