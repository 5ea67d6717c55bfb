"""Nets and losses whose surfaces are known in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from landscape.attacks import PGD, LinfBall
from landscape.geometry import Plane, Statistics
from landscape.objective import Objective
from landscape.surfaces import Ladder, Points

N = 7


def half_square(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return half the squared distance of outputs (N, K) from the one-hot labels, (N,): quadratic in a linear net."""
    wanted = nn.functional.one_hot(labels, outputs.shape[1]).to(outputs.dtype)
    return (outputs - wanted).square().sum(dim=1) / 2


class Probe(nn.Module):
    """A net that reports its own two weights, whatever the images: outputs (N, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([0.25, -0.5], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.weights.expand(len(x), 2)


def first(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the probe's first weight, as a loss (N,)."""
    return outputs[:, 0]


def second(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the probe's second weight, as a loss (N,)."""
    return outputs[:, 1]


@dataclass(frozen=True)
class Linear:
    """A linear net under half the squared error: its surface is a quadratic that NumPy can write down."""

    seed: int = 0

    @property
    def net(self) -> nn.Module:
        """The net, in float64."""
        torch_state = torch.random.get_rng_state()
        torch.manual_seed(self.seed)
        net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double()
        torch.random.set_rng_state(torch_state)
        return net

    @property
    def data(self) -> tuple[Tensor, Tensor]:
        """Images (N, 1, 2, 2) and labels (N,)."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        images = torch.rand(N, 1, 2, 2, generator=generator, dtype=torch.float64)
        return images, torch.randint(3, (N,), generator=generator)

    @property
    def directions(self) -> Tensor:
        """Two directions (2, 15), neither of length 1 nor at a right angle."""
        rows = torch.randn(2, 15, generator=torch.Generator().manual_seed(self.seed + 2), dtype=torch.float64)
        rows[1] += rows[0]
        return rows

    def loss(self, a: float, b: float) -> float:
        """Return the loss at (a, b) by NumPy: mean of ||Wx + c - onehot||^2 / 2."""
        net = self.net
        w = np.concatenate([p.detach().numpy().reshape(-1) for p in net.parameters()])
        w = w + a * self.directions[0].numpy() + b * self.directions[1].numpy()
        images, labels = (part.numpy() for part in self.data)
        outputs = images.reshape(N, 4) @ w[:12].reshape(3, 4).T + w[12:]
        return float((((outputs - np.eye(3)[labels]) ** 2).sum(axis=1) / 2).mean())

    def points(self, *eps: float) -> Points:
        """Return the points of its plane, clean, or under attack at the radii given."""
        objective = Objective(self.net, *self.data, loss=half_square, batch_size=3)
        attacks = [PGD(LinfBall(value), steps=2) for value in eps or (0.0,)]
        ladder = Ladder(objective, attacks)
        plane = Plane(objective.w0, *self.directions)
        points = Points(ladder, plane, Statistics(objective))
        ladder.freeze(points.network(0, 0))
        return points
