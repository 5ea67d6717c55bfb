"""Recipes: what is refused and why, what is resolved, and the way to a checkpoint's plain dict and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from landscape.attacks import PGD, L2Ball, LinfBall
from landscape.errors import UsageError
from landscape.training import Recipe


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": 4}, "did you mean 4/255"),
        ({"eps": -0.1}, "eps = -0.1"),
        ({"eps": float("nan")}, "out of range"),
        ({"eps": "4/255"}, "no number"),
        ({"norm": "l1"}, "norm = 'l1' is unknown"),
        ({"eps_schedule": "cosin"}, "did you mean cosine"),
        ({"lr_schedule": "steps"}, "did you mean step"),
        ({"optimizer": "adamw"}, "did you mean adam"),
        ({"schedule_by": "step"}, "epoch"),
        ({"epochs": 0}, "give 1 or more"),
        ({"epochs": 1.5}, "no whole number"),
        ({"batch_size": -1}, "give 1 or more"),
        ({"seed": -1}, "give 0 or more"),
        ({"lr": 0}, "lr = 0 is out of range; give a positive number"),
        ({"lr": -1}, "lr = -1 is out of range; give a positive number"),
        ({"lr": "fast"}, "lr = 'fast' is no number; give a positive number"),
        ({"lr": float("inf")}, "out of range"),
        ({"momentum": 1}, "never forgets"),
        ({"weight_decay": -1e-4}, "out of range"),
        ({"lr_drops": (100, 150)}, "fractions of the run or its period"),
        ({"augment": "crop"}, "augment"),
        ({"eps_overshoot": 0.2}, "constant eps"),
        ({"eps_schedule": "linear", "eps_overshoot": 0.05}, "never reaches"),
        ({"eps_schedule": "linear", "eps_overshoot": 16}, "did you mean 16/255"),
        ({"eps_start": 0.2}, "a warm-up climbs"),
        ({"eps_start": 0.05}, "eps_start means nothing to a constant eps"),
        ({"periods": (100, 100)}, "the periods 100,100 do not increase; give their last epochs, such as 100,150,200"),
        ({"periods": (0, 150, 100)}, "the periods 150,100 do not increase"),
        ({"periods": (0,)}, "periods = 0 ends before it begins"),
        ({"periods": (-1, 5)}, "periods = -1 is too small"),
        ({"periods": (2.5, 5)}, "periods = 2.5 is no whole number"),
        ({"periods": (2, 5), "epochs": 6}, "the periods end at epoch 5 and the run at 6; leave --epochs out"),
        ({"lr_warmup": 21}, "lr_warmup = 21 is longer than the 20 epochs of the run; give 20 or less"),
        ({"lr_warmup": -1}, "lr_warmup = -1 is out of range"),
        ({"attack": "fgsm"}, "attack 'fgsm' is unknown"),
        ({"attack": PGD(LinfBall(0.2))}, "make them the same"),
        ({"attack": PGD(L2Ball(0.1))}, "make them the same"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(settings, message):
    with pytest.raises(UsageError, match=message) as caught:
        Recipe(**{"eps": 0.1, **settings})
    assert "\n" not in str(caught.value)


def test_the_learning_rate_left_out_is_the_optimizers_own():
    assert (Recipe(0.1).lr, Recipe(0.1, optimizer="sgd").lr) == (1e-3, 0.1)


def test_the_overshoot_left_out_reaches_the_target_half_way():
    recipe = Recipe(0.4, eps_schedule="linear", epochs=100)
    assert recipe.eps_overshoot == 0.8
    assert [recipe.eps_at(epoch) for epoch in (0, 25, 50, 99)] == pytest.approx([0, 0.2, 0.4, 0.4])
    assert Recipe(0.6, eps_schedule="cosine").eps_overshoot == 1
    assert Recipe(3, norm="l2", eps_schedule="cosine").eps_overshoot == 6


def test_the_papers_cifar_run():
    recipe = Recipe(
        8 / 255, eps_schedule="cosine", eps_overshoot=16 / 255, epochs=200, optimizer="sgd", lr_schedule="step"
    )
    assert recipe.eps_at(50) * 255 == pytest.approx(2.34315, abs=1e-5)
    assert [recipe.lr_at(epoch) for epoch in (99, 100, 150)] == pytest.approx([0.1, 0.01, 0.001])


PAS = Recipe(
    8 / 255,
    eps_schedule="cosine",
    eps_overshoot=16 / 255,
    periods=(0, 100, 150, 200),
    optimizer="sgd",
    lr_schedule="cosine",
)


def test_the_papers_periodic_run():
    assert (PAS.epochs, PAS.boundaries) == (200, (0, 100, 150, 200))
    wanted = {25: 2.34315, 50: 8, 99: 8, 100: 0, 125: 8, 150: 0, 175: 8, 199: 8}
    assert [PAS.eps_at(epoch) * 255 for epoch in wanted] == pytest.approx(list(wanted.values()), abs=1e-5)
    for start in (0, 100, 150):  # learning rate and eps restart together
        assert PAS.at(start) == (0, 0.1)
        assert PAS.lr_at(start + 25) == pytest.approx(0.1 * (0.5 if start else (1 + np.cos(np.pi / 4)) / 2))
    drops = Recipe(0.1, periods=(100, 150, 200), optimizer="sgd", lr_schedule="step")
    assert [drops.lr_at(epoch) for epoch in (49, 50, 75, 99, 100, 125, 149, 150, 175)] == pytest.approx(
        [0.1, 0.01, 1e-3, 1e-3, 0.1, 0.01, 1e-3, 0.1, 0.01]
    )


def test_schedules_stand_still_within_an_epoch_unless_they_go_by_batch():
    settings = {"eps_schedule": "linear", "eps_overshoot": 0.4, "lr_schedule": "linear", "lr": 0.1, "epochs": 10}
    assert Recipe(0.4, **settings).at(2.75) == pytest.approx((0.08, 0.08))
    assert Recipe(0.4, **settings, schedule_by="batch").at(2.75) == pytest.approx((0.11, 0.0725))


def test_the_learning_rate_alone_is_warmed_up():
    recipe = Recipe(0.4, lr=0.1, lr_warmup=4, periods=(10, 20), lr_schedule="linear")
    assert [recipe.at(epoch) for epoch in (0, 1.5, 4, 10)] == [
        (0.4, 0),
        (0.4, pytest.approx(0.1 * 0.9 * 0.375)),  # the schedule stands at epoch 1, the warm-up goes on
        (0.4, pytest.approx(0.1 * 0.6)),
        (0.4, 0.1),  # a restart is not warmed up again
    ]


def test_a_cyclic_learning_rate_moves_by_batch_in_each_period():
    recipe = Recipe(0.4, lr=0.2, lr_schedule="cyclic", periods=(5, 15))
    assert [recipe.at(epoch)[1] for epoch in (0, 0.5, 2, 3.5, 5, 9, 12)] == pytest.approx(
        [0, 0.05, 0.2, 0.1, 0, 0.2, 0.1]
    )


def test_settings_that_came_later_are_told_only_where_they_are_used():
    assert not {"periods", "lr_warmup"} & Recipe(0.1).to_dict().keys()
    assert PAS.to_dict()["periods"] == [100, 150, 200]
    assert Recipe(0.1, lr_warmup=2).to_dict()["lr_warmup"] == 2


def test_training_keeps_the_last_iterate_unless_told():
    assert Recipe(0.1).attack_at(0.1) == PGD(LinfBall(0.1), keep="last")
    assert Recipe(0.1, attack="pgd:steps=3,keep=best").attack_at(0.05) == PGD(LinfBall(0.05), steps=3, keep="best")
    assert Recipe(0.1, attack=PGD(LinfBall(0.1), steps=7)).attack_at(0.1).keep == "best"


def test_a_relative_step_follows_eps_and_an_absolute_one_stays():
    assert Recipe(0.4, attack="pgd:rel_step=0.5").attack_at(0.1).step_size == pytest.approx(0.05)
    assert Recipe(0.4, attack="pgd:step=0.01").attack_at(0.1).step_size == pytest.approx(0.01)


def test_only_cifar10_is_augmented_by_default():
    assert Recipe(0.1).resolved("cifar10").augment is True
    assert Recipe(0.1).resolved("digits").augment is False
    assert Recipe(0.1, augment=False).resolved("cifar10").augment is False


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(0.1),
        Recipe(0.7, eps_schedule="cosine", lr_schedule="step", lr_drops=(1 / 3,), attack="pgd:step=1/255,keep=best"),
        PAS,
        Recipe(0.1, lr_warmup=2, schedule_by="batch", lr_schedule="cyclic"),
        Recipe(np.float32(0.25), norm="l2", epochs=np.int64(3), lr=np.float64(0.1), augment=True),
    ],
)
def test_a_recipe_survives_its_checkpoint(recipe):
    stored = json.loads(json.dumps(recipe.to_dict()))  # plain Python, or json would refuse it
    stored |= {"epoch": 3, "history": [], "final": {}}
    assert Recipe.from_dict(stored) == recipe
    assert {"eps", "eps_schedule", "eps_overshoot", "epochs", "optimizer", "lr", "lr_schedule"} <= stored.keys()
    assert {"batch_size", "weight_decay", "momentum", "attack", "norm", "seed"} <= stored.keys()


def test_a_checkpoint_without_eps_holds_no_recipe():
    with pytest.raises(UsageError, match="give --eps"):
        Recipe.from_dict({"lr": 0.1})
