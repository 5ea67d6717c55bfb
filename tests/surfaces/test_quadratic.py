from dataclasses import replace

import numpy as np
import pytest
import torch

from landscape.attacks import PGD, LinfBall
from landscape.curvature import HessianOperator, top_eigenpairs
from landscape.geometry import Plane, Statistics, unit_directions
from landscape.objective import Objective
from landscape.surfaces import Ladder, Points, quadratic
from landscape.surfaces.quadratic import frozen_objective
from tests.problems import examples, lenet, resnet
from tests.surfaces.known import Linear


def test_on_a_quadratic_net_it_is_the_surface_itself() -> None:
    known = Linear()
    points = known.points()
    slope, curvature = quadratic(points)
    for a, b in ((1.0, 0.0), (-0.5, 2.0), (3.0, -1.0)):
        at = np.array([a, b])
        expected = known.loss(0, 0) + slope[0] @ at + at @ curvature[0] @ at / 2
        assert known.loss(a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("net", [lenet("softplus"), resnet("softplus")])
def test_second_differences_along_eigenvectors_give_the_eigenvalues(net: torch.nn.Module) -> None:
    """On smooth nets, for the adversary as the Hessian sees it: within 2 %, and the slope is the gradient's."""
    objective = Objective(net, *examples(20), seed=0)
    ladder = Ladder(objective, [PGD(LinfBall(0.1), steps=3)], moves=False)
    ladder.freeze(objective.network())
    held = frozen_objective(objective, ladder.frozen[0])
    pairs = top_eigenpairs(HessianOperator(held, objective.w0), k=2, generator=torch.Generator().manual_seed(0))
    plane = Plane(objective.w0, *unit_directions(pairs.vectors, ["v1", "v2"]).vectors)
    points = Points(ladder, plane, Statistics(objective))
    h = 1e-3

    def loss(a: float, b: float) -> float:
        return float(ladder.evaluate(points.network(a, b)).means)

    slope, curvature = quadratic(points)
    for axis, value in enumerate(pairs.values):
        there, back = (loss(*(sign * h * np.eye(2)[axis])) for sign in (1, -1))
        assert (there - 2 * loss(0, 0) + back) / h**2 == pytest.approx(value, rel=0.02)
        assert (there - back) / (2 * h) == pytest.approx(slope[0, axis], rel=1e-3, abs=1e-5)
    np.testing.assert_allclose(curvature[0], np.diag(pairs.values), rtol=1e-3, atol=1e-4)


def test_each_radius_has_its_own_adversary() -> None:
    slope, curvature = quadratic(Linear().points(0.0, 0.3))
    assert not np.allclose(curvature[0], curvature[1])
    assert not np.allclose(slope[0], slope[1])


def test_where_statistics_move_with_the_weights_there_is_none() -> None:
    objective = Objective(resnet(), *examples(8))
    ladder = Ladder(objective, [PGD(LinfBall(0.0))])
    directions = torch.randn(2, objective.n_parameters, dtype=torch.float64)
    points = Points(ladder, Plane(objective.w0, *directions), Statistics(objective))
    ladder.freeze(points.network(0, 0))
    assert np.isfinite(quadratic(points)[1]).all()
    moving = replace(points, statistics=Statistics(objective, "clean-recal"))
    assert np.isnan(quadratic(moving)[0]).all()
    assert np.isnan(quadratic(moving)[1]).all()
