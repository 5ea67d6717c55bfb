"""ReLU behind max pooling: the numbers and the gradients of ReLU before it, bit for bit; else it is left alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape.attacks.pooling import pooled_first
from landscape.attacks.twin import Twin
from landscape.models import build_model


class Layers(nn.Module):
    """Every way to write ReLU and max pooling, one behind the other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        x = F.max_pool2d(self.conv2(x).relu(), 2, stride=1)
        return F.max_pool2d(F.relu(self.conv3(x), inplace=True), 2).flatten(1)


class Shared(nn.Module):
    """What is before the ReLU, or behind it, is read by somebody else too."""

    def forward(self, x: Tensor) -> Tensor:
        before, cut = x - 0.5, torch.relu(x - 0.2)
        return (F.max_pool2d(torch.relu(before), 2) + F.max_pool2d(cut, 2) + before.mean() + cut.mean()).flatten(1)


class Places(nn.Module):
    """Max pooling that gives the places, too."""

    def forward(self, x: Tensor) -> Tensor:
        values, places = F.max_pool2d(torch.relu(x - 0.5), 2, return_indices=True)
        return (values + places).flatten(1)


class Leaky(nn.ReLU):
    """A subclass of ReLU that is none."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, -0.3)


def relus(net: nn.Module, images: Tensor) -> int:
    """Return on how many numbers a net takes ReLU."""
    seen: list[int] = []

    class Counting(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if func in (F.relu, torch.relu, Tensor.relu):
                seen.append(args[0].numel())
            return func(*args, **(kwargs or {}))

    with Counting():
        net(images)
    return sum(seen)


@pytest.mark.parametrize("spec", ["lenet:width=2", "vgg16:width=1", Layers])
def test_values_and_gradients_are_the_same_bit_for_bit_on_fewer_numbers(spec: str | type[nn.Module]) -> None:
    torch.manual_seed(0)  # torch's layers draw from there
    net = build_model(spec, input=(3, 32, 32), seed=1)[0] if isinstance(spec, str) else spec()
    net.eval().requires_grad_(requires_grad=False)
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    images[:4] = 0.25  # ties in every window
    other = pooled_first(net)
    assert other is not None
    results = []
    for way in (net, other):
        point = images.clone().requires_grad_()
        outputs = way(point)
        (gradient,) = torch.autograd.grad(outputs.square().sum(), point)
        results.append((outputs, gradient))
    assert all(torch.equal(one, same) for one, same in zip(*results, strict=True))
    assert results[0][1].abs().max() > 0
    assert relus(other, images) < 0.75 * relus(net, images)


@pytest.mark.parametrize(
    "net",
    [
        Shared(),
        Places(),
        nn.Sequential(Leaky(), nn.MaxPool2d(2)),
        nn.Sequential(nn.ReLU(), nn.MaxPool2d(2, return_indices=True)),
        nn.Sequential(nn.ReLU(), nn.AvgPool2d(2)),
        nn.Sequential(nn.Softplus(), nn.MaxPool2d(2)),
    ],
    ids=["read twice", "with places", "a subclass", "a layer with places", "mean pooling", "softplus"],
)
def test_it_stays_where_the_order_is_seen_or_is_not_known(net: nn.Module) -> None:
    assert pooled_first(net) is None


def test_the_twin_of_a_net_that_pools_runs_so_and_follows_the_weights() -> None:
    net, _ = build_model("lenet:width=1", input=(1, 8, 8), seed=0)
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    twin = Twin(net)
    network = twin.network(images)
    count = relus(network.run, images)  # type: ignore[attr-defined]  # what runs of the twin's form
    assert count < 0.5 * relus(net, images)
    with torch.no_grad():
        for value in net.parameters():
            value.mul_(1.5)
    torch.testing.assert_close(twin.network(images)(images), net(images), rtol=0, atol=1e-5)
