"""Perturbations in their feasible box: cosines by hand, and what chance gives with and without the box."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.attacks import L2Ball, LinfBall
from landscape.attacks.feasible import centred, cosine, likeness, random_vertices
from landscape.streams import example_streams

EPS = 0.1


def vertices(ball: L2Ball | LinfBall, images: torch.Tensor) -> list[torch.Tensor]:
    return [random_vertices(ball, images, example_streams(0, name, range(len(images)))) for name in "ab"]


def test_the_cosines_are_numpys() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((5, 1, 3, 4))
    a, b = (np.clip(x + rng.uniform(-EPS, EPS, x.shape), 0, 1) for _ in range(2))
    low, high = np.clip(x - EPS, 0, 1), np.clip(x + EPS, 0, 1)

    def expected(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        one, other = one.reshape(5, -1), other.reshape(5, -1)
        return (one * other).sum(1) / np.sqrt((one**2).sum(1) * (other**2).sum(1))

    found = likeness(LinfBall(EPS), *map(torch.from_numpy, (x, a, b)))
    np.testing.assert_allclose(found.cosine, expected(a - x, b - x), rtol=1e-12)
    np.testing.assert_allclose(found.sign_cosine, expected(np.sign(a - x), np.sign(b - x)), rtol=1e-12)
    boxed = [(side - (low + high) / 2) / ((high - low) / 2) for side in (a, b)]
    np.testing.assert_allclose(found.box_cosine, expected(*boxed), rtol=1e-9)
    assert bool(likeness(L2Ball(EPS), *map(torch.from_numpy, (x, a, b))).box_cosine.isnan().all())


def test_tiny_perturbations_have_a_cosine_and_none_has_none() -> None:
    rows = torch.tensor([[3e-150, 0.0], [0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    other = torch.tensor([[1e-150, 1e-150], [1.0, 0.0], [-1.0, -1.0]], dtype=torch.float64)
    np.testing.assert_allclose(cosine(rows, other), [np.sqrt(0.5), np.nan, -1])


def test_vertices_are_corners_of_the_box_and_independent() -> None:
    ball, images = LinfBall(EPS), torch.rand(40, 1, 6, 6, dtype=torch.float64, generator=torch.manual_seed(0))
    one, other = vertices(ball, images)
    np.testing.assert_allclose(centred(ball, images, one).abs(), 1, rtol=1e-6)
    assert 0.4 < float((one == other).double().mean()) < 0.6
    assert torch.equal(one[:7], random_vertices(ball, images[:7], example_streams(0, "a", range(7))))


def test_clipping_makes_a_floor_that_the_box_takes_away() -> None:
    """Pixels at 0 can only rise: each of two random vertices moves half of them, and both a quarter, cosine 1/2."""
    ball, images = LinfBall(EPS), torch.zeros(50, 1, 30, 30, dtype=torch.float64)
    found = likeness(ball, images, *vertices(ball, images))
    error = 3 / np.sqrt(50 * 900)  # each cosine scatters by about 1 / 30
    assert float(found.cosine.mean()) == pytest.approx(0.5, abs=error)
    assert float(found.sign_cosine.mean()) == pytest.approx(0.5, abs=error)
    assert float(found.box_cosine.mean()) == pytest.approx(0, abs=error)


def test_l2_vertices_lie_on_the_sphere_where_the_box_is_far() -> None:
    images = torch.full((3, 1, 4, 4), 0.5, dtype=torch.float64)
    one, _ = vertices(L2Ball(EPS), images)
    np.testing.assert_allclose((one - images).flatten(1).norm(dim=1), EPS, rtol=1e-6)
