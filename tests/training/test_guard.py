"""The guard against nets that are what it warns of by construction: constant, running away, fooling a single step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape.attacks import PGD
from landscape.data import ImageData
from landscape.training import Recipe
from landscape.training.guard import PROBE_EXAMPLES, PROBE_STEPS, Guard, probe_interval

LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])
ENTROPY = -(3 / 8 * math.log(3 / 8) * 2 + 2 / 8 * math.log(2 / 8))


def data():
    return ImageData(torch.full((8, 1, 1, 2), 0.5), LABELS, 3, "toy", "train")


def constant_net():
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 3))
    nn.init.zeros_(net[1].weight)
    nn.init.zeros_(net[1].bias)
    return net


def record(epoch, *, loss=1.0, error=0.3, eps=0.0):
    return {"epoch": epoch, "eps": eps, "lr": 0.1, "loss": loss, "error": error}


def look(guard, net, **epochs):
    for epoch, (loss, error) in enumerate(epochs.values(), start=1):
        guard.look(net, record(epoch, loss=loss, error=error), 10 * epoch)


def test_a_constant_classifier_is_noted_once_it_lasts_and_when_it_is_over(caplog):
    guard = Guard(Recipe(0.1), data(), 0)
    plateau = (ENTROPY * 1.005, 5 / 8)
    look(guard, constant_net(), one=(1.5, 0.7), two=plateau, three=plateau)
    assert guard.events == []
    guard.look(constant_net(), record(4, loss=plateau[0], error=plateau[1]), 40)
    guard.look(constant_net(), record(5, loss=plateau[0], error=plateau[1]), 50)
    (event,) = guard.standing()
    assert (event["kind"], event["epoch"], event["step"]) == ("constant-classifier", 2, 40)
    assert "since epoch 2: constant-classifier (loss 1.088, error 62.50 %); if it stays, try" in caplog.text
    guard.look(constant_net(), record(6, loss=0.5, error=0.1), 60)
    assert guard.standing() == []
    assert guard.events[0]["until"] == 6
    assert "epoch 6: constant-classifier is over" in caplog.text


def test_a_net_that_learns_through_the_same_loss_is_no_constant_classifier():
    guard = Guard(Recipe(0.1), data(), 0)
    look(guard, constant_net(), **{f"epoch{i}": (ENTROPY, 0.3) for i in range(5)})
    assert guard.events == []


def test_a_loss_of_twice_the_entropy_is_a_divergence():
    guard = Guard(Recipe(0.1), data(), 0)
    look(guard, constant_net(), one=(2.1 * ENTROPY, 0.6), two=(2.5 * ENTROPY, 0.6))
    assert [(event["kind"], event["epoch"]) for event in guard.events] == [("divergence", 1)]


class Fooling(nn.Module):
    """Scores by 2 - |x_0 - 1/2| / 0.05: right, flat where a single step begins and lands, and wrong in between.

    An attack of one whole step from the centre ends where it began to look; finer steps find the valley.
    """

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(50.0))

    def forward(self, images):
        x = images.flatten(1)[:, 0] - 0.5
        score = torch.cos(x * 2 * math.pi / 0.1) + 0.3 * torch.sin(x * math.pi / 0.1)  # right at 0 and at -0.1
        return self.scale * torch.stack([score, -score], dim=1)


def test_an_attack_that_training_has_learnt_to_fool_is_noted():
    single = "pgd:steps=1,step=0.1,start=zero"
    toy = ImageData(torch.full((6, 1, 1, 1), 0.5), torch.zeros(6, dtype=torch.int64), 2, "toy", "train")
    toy.labels[5] = 1
    sound = Guard(Recipe(0.1), toy, 1)
    fooled = Guard(Recipe(0.1, attack=single), toy, 1)
    for guard in (sound, fooled):
        guard.look(Fooling(), record(1, eps=0.1), 7)
    assert sound.events == []
    (event,) = fooled.standing()
    assert (event["kind"], event["epoch"], event["step"]) == ("catastrophic-overfitting", 1, 7)
    arrays = fooled.arrays()
    assert arrays["probe/robust_error_rate"][0] == 1
    assert arrays["probe/attack_error_rate"][0] == pytest.approx(1 / 6)
    assert arrays["probe/clean_error_rate"][0] == pytest.approx(1 / 6)
    assert arrays["probe/step"].dtype == np.int64


def test_it_probes_as_often_as_asked_and_where_there_is_an_adversary():
    guard = Guard(Recipe(0.1), data(), 2)
    for epoch, eps in enumerate([0.1, 0.1, 0.1, 0.0, 0.1, 0.1], start=1):
        guard.look(constant_net(), record(epoch, eps=eps), epoch)
    np.testing.assert_array_equal(guard.arrays()["probe/step"], [2, 6])


def test_a_look_leaves_the_net_and_the_generators_as_they_were():
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    generator = torch.get_rng_state()
    Guard(Recipe(0.1), data(), 1).look(net, record(1, eps=0.1), 1)
    assert net.training and net[3].training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_resumed_guard_sees_what_an_uninterrupted_one_sees():
    whole = Guard(Recipe(0.1), data(), 2)
    resumed = Guard(Recipe(0.1), data(), 2)
    epochs = [record(epoch, loss=ENTROPY, error=0.7, eps=0.1) for epoch in range(1, 6)]
    for at in epochs:
        whole.look(constant_net(), at, at["epoch"])
    for at in epochs[:2]:
        resumed.look(constant_net(), at, at["epoch"])
    again = Guard(Recipe(0.1), data(), 2)
    again.load_state(resumed.state())
    for at in epochs[1:]:  # the second epoch is ended twice: the first time it was interrupted
        again.look(constant_net(), at, at["epoch"])
    assert again.state() == whole.state()
    assert whole.events[0]["epoch"] == 1


def test_classes_without_an_example_are_named():
    guard = Guard(Recipe(0.1), data(), 0)
    guard.check_labels(LABELS, 3)
    assert guard.events == []
    guard.check_labels(LABELS, 5)
    assert guard.events[0]["said"] == "no example of class 3, 4 among the 8 to learn from"


def test_probes_cost_three_percent_of_the_run_at_most():
    for recipe, n in [(Recipe(0.1), 50_000), (Recipe(0.1, attack="pgd:steps=1"), 12_000), (Recipe(0.1), 1437)]:
        attack = recipe.attack_at(0.1)
        assert isinstance(attack, PGD)
        every = probe_interval(recipe, n)
        cost = PROBE_EXAMPLES * (1 + 2 * attack.steps + 1 + 2 * PROBE_STEPS + 1)
        epoch = n * (3 + 2 * attack.steps)
        assert cost <= 0.03 * every * epoch
        assert every == 1 or cost > 0.03 * (every - 1) * epoch
