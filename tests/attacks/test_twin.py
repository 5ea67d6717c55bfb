"""The twin answers as its net does, at the weights of now; where it could not, it is the net itself."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape.attacks import PGD, LinfBall
from landscape.attacks.twin import Twin, foldable
from landscape.errors import UsageError
from landscape.models import build_model


def trained(spec: str, shape: tuple[int, int, int] = (3, 8, 8), *, double: bool = False) -> tuple[nn.Module, Tensor]:
    """Return a net whose BatchNorms have statistics and affine parts of their own, and images of its shape."""
    net, _ = build_model(spec, input=shape, seed=1)
    generator = torch.Generator().manual_seed(2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    images = torch.rand(6, *shape, generator=generator)
    return (net.double(), images.double()) if double else (net, images)


def logits(net: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return copy.deepcopy(net).eval()(images)


NETS = {"resnet18:width=1": 20, "vgg16:width=1": 13, "lenet:width=1": 0}


@pytest.mark.parametrize("spec", NETS)
def test_it_answers_as_the_net_does_with_every_batchnorm_folded(spec: str) -> None:
    shape = (3, 32, 32) if spec.startswith("vgg") else (3, 8, 8)
    for double, tolerance in ((False, 1e-5), (True, 1e-12)):  # over the largest logit: roundings of each precision
        net, images = trained(spec, shape, double=double)
        twin = Twin(net)
        found = twin.network(images)(images)
        expected = logits(net, images)
        assert (found - expected).abs().max() <= tolerance * (1 + expected.abs().max())
        assert len(twin.folded) == len(foldable(net)) == NETS[spec]
        assert found.dtype == images.dtype


@pytest.mark.parametrize("spec", ["resnet18:width=1", "lenet:width=1"])
def test_an_attack_finds_the_same_images_and_the_net_stays_as_it_was(spec: str) -> None:
    net, images = trained(spec, double=True)
    labels = torch.arange(6)
    before = copy.deepcopy(net.state_dict())
    attack = PGD(LinfBall(0.1), steps=5, keep="last")
    found = attack(Twin(net).network(images), images, labels)
    expected = attack(net, images, labels)
    # Signs of gradients far from rounding: the same vertices, up to the last bit of x + step.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    assert net.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_it_follows_the_weights_and_the_statistics_of_its_net() -> None:
    net, images = trained("resnet18:width=1", double=True)
    twin = Twin(net)
    first = twin.network(images)(images)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    F.cross_entropy(net.train()(images), torch.arange(6)).backward()  # which moves the statistics too
    optimiser.step()
    second = twin.network(images)(images)
    assert (second - first).abs().max() > 1e-3
    torch.testing.assert_close(second, logits(net, images), rtol=0, atol=1e-11)


class Branching(nn.Module):
    """A net that no symbolic trace can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(144, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        if x.mean() > 0:
            x = 2 * x
        return self.fc(x.flatten(1))


class Viewing(nn.Module):
    """A net that takes its maps to lie one channel after another."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(144, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.conv(x)).view(-1, 144))


class Reused(nn.Module):
    """A convolution whose output goes to two places, and another that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.norm_a, self.norm_b = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.conv, self.norm, self.fc = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Linear(192, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_b(self.twice(self.norm_a(self.twice(x))))
        inner = self.conv(x)
        return self.fc((self.norm(inner) + inner).flatten(1))


class Peeking(nn.Module):
    """A net that reads a BatchNorm's own parts: folded, it would read something else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(144, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.norm(self.conv(x)) * self.norm.weight.mean()).flatten(1))


@pytest.mark.parametrize("make", [Branching, Viewing, Reused, Peeking])
def test_less_is_changed_where_a_net_does_not_allow_it(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    net = make().double()
    for _ in range(3):
        net(torch.rand(8, 3, 8, 8, dtype=torch.float64))
    images = torch.rand(4, 3, 8, 8, dtype=torch.float64)
    twin = Twin(net)
    found = twin.network(images)(images)
    torch.testing.assert_close(found, logits(net, images), rtol=0, atol=1e-12)
    assert len(twin.folded) == (1 if make is Viewing else 0)


def test_a_net_that_cannot_be_copied_or_is_watched_is_its_own_twin() -> None:
    net, images = trained("lenet:width=1")
    seen: list[object] = []
    net.get_submodule("conv1").register_forward_hook(lambda *call: seen.append(call))
    twin = Twin(net)
    assert twin.network(images) is net
    assert twin.folded == ()


def test_a_net_that_answers_at_random_is_its_own_twin() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(192, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.flatten(1)) + torch.rand(5)

    net = Noisy()
    assert Twin(net).network(torch.rand(3, 3, 8, 8)) is net


def test_bf16_comes_back_in_the_images_precision_and_is_near() -> None:
    net, images = trained("resnet18:width=1")
    twin = Twin(net, precision="bf16")
    point = images.clone().requires_grad_()
    found = twin.network(images)(point)
    (gradient,) = torch.autograd.grad(found.sum(), point)
    assert found.dtype == gradient.dtype == torch.float32
    expected = logits(net, images)
    assert 0 < (found - expected).abs().max() < 0.05 * (1 + expected.abs().max())  # 8 bits a number, 20 layers
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}


def test_bf16_is_refused_where_the_net_does_not_run_in_it() -> None:
    class Exact(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(192, 5)

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).float() @ self.fc.weight.T

    with pytest.raises(UsageError, match="bf16 on this net .*--attack-precision"):
        Twin(Exact(), precision="bf16").network(torch.rand(3, 3, 8, 8))
    with pytest.raises(UsageError, match="precision 'fp8' is unknown"):
        Twin(Exact(), precision="fp8")
