"""The moving average against its recursion in float64; BatchNorm's statistics; the net handed back as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from landscape.training.ema import Average


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def wander(model, step):
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    model.train()
    model(torch.randn(8, 3, generator=generator))


def test_the_average_is_its_recursion():
    model = net()
    average = Average(model, 0.6)
    wanted = {name: value.double().clone() for name, value in model.state_dict().items()}
    for step in range(1, 21):
        wander(model, step)
        average.update()
        decay = min(0.6, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            wanted[name] = decay * wanted[name] + (1 - decay) * value.double()
    wanted["1.num_batches_tracked"] = torch.tensor(20.0, dtype=torch.float64)
    before = copy.deepcopy(model.state_dict())
    with average.in_place():
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value.double(), wanted[name], rtol=1e-6, atol=1e-6)  # float32 against float64
        assert not torch.equal(model[1].running_mean, before["1.running_mean"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_net_is_given_back_after_a_failure_too():
    model = net()
    average = Average(model, 0.9)
    wander(model, 1)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="on the way"), average.in_place():
        raise RuntimeError("on the way")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_average_of_weights_that_stand_still_is_the_weights():
    model = net()
    average = Average(model, 0.999)
    for _ in range(50):
        average.update()
    state = copy.deepcopy(model.state_dict())
    with average.in_place():
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
