from dataclasses import replace

import numpy as np
import torch

from landscape.attacks import PGD, LinfBall
from landscape.geometry import Plane, Statistics
from landscape.objective import Objective
from landscape.results.kinds.surface import EVALUATED, NOT_FINITE
from landscape.surfaces import Grid, Ladder, Points, audit, every, scan
from landscape.surfaces.audit import stratified
from tests.problems import assert_untouched, examples, lenet, state_of

XS = YS = np.linspace(-0.1, 0.1, 3)


def scanned(attack: PGD, *, n: int = 6, clean: bool = True) -> tuple[Points, Grid]:
    net = lenet(dtype=torch.float32)
    objective = Objective(net, *examples(n, dtype=torch.float32))
    ladder = Ladder(objective, [*([PGD(LinfBall(0.0))] if clean else []), attack])
    directions = torch.randn(2, objective.n_parameters, generator=torch.Generator().manual_seed(0))
    points = Points(
        ladder, Plane(objective.w0, *directions / directions.norm(dim=1, keepdim=True)), Statistics(objective)
    )
    ladder.freeze(points.network(0, 0))
    grid = Grid(len(ladder.eps), 3, 3, n, keep_examples=False)
    scan(points, grid, YS, XS, every(YS, XS))
    return points, grid


def test_a_weak_attack_leaves_a_gap_and_a_strong_one_hardly_any() -> None:
    weak = PGD(LinfBall(0.3), steps=1, rel_step=0.01, start="zero")
    strong = PGD(LinfBall(0.3), steps=40, rel_step=0.1, restarts=2)
    gaps = []
    for attack in (weak, strong):
        points, grid = scanned(attack)
        found = audit(points, grid.arrays["status"], YS, XS, count=2)
        assert np.isnan(found.gap[0]).all()  # eps 0 has no attack to audit
        assert np.isfinite(found.gap[1, 1, 1])  # the origin is among the points
        assert np.isfinite(found.gap[1]).sum() == 2
        gaps.append(float(found.gap[1, 1, 1]) / float(grid.arrays["loss"][1, 1, 1]))
    assert gaps[0] > 0.02
    assert 0 <= gaps[1] < gaps[0] / 10


def test_the_gap_is_what_the_strongest_of_them_adds_and_its_standard_error_is_over_examples() -> None:
    points, grid = scanned(PGD(LinfBall(0.3), steps=1), clean=False)
    found = audit(points, grid.arrays["status"], YS, XS, count=1)
    assert found.attacks == "apgd-ce, apgd-dlr, square (100 steps, 500 queries)"
    assert found.examples == 6
    ladder, network = points.ladder, points.network(0, 0)
    own = ladder.evaluate(network).losses[0]
    steepest = PGD(LinfBall(0.3), steps=60, rel_step=0.05, restarts=3)
    best = Objective(ladder.objective.model, *examples(6, dtype=torch.float32), attack=steepest).losses().double()
    # The audit's loss comes within a percent of the best that 180 small steps find.
    np.testing.assert_allclose(
        float(own.mean()) + found.gap[0, 1, 1], float(torch.maximum(best, own).mean()), rtol=0.01
    )
    assert 0 < found.errors[0, 1, 1] < found.gap[0, 1, 1]


def test_a_net_of_two_classes_is_audited_by_what_is_left() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    images, labels = examples(8, dtype=torch.float32)
    objective = Objective(net, images, labels % 2)
    ladder = Ladder(objective, [PGD(LinfBall(0.1), steps=2)])
    points = Points(ladder, Plane(objective.w0, torch.ones(objective.n_parameters)), Statistics(objective))
    ladder.freeze(points.network(0, 0))
    status = np.full((1, 1, 1), EVALUATED, dtype=np.uint8)
    found = audit(points, status, np.zeros(1), np.zeros(1), count=1, examples=4)
    assert found.attacks.startswith("apgd-ce, square (")
    assert found.examples == 4


def test_points_are_stratified_by_their_distance_and_only_known_ones_are_taken() -> None:
    xs, ys = np.linspace(-2, 2, 9), np.linspace(-1, 1, 9)
    status = np.full((2, 9, 9), EVALUATED, dtype=np.uint8)
    chosen = stratified(status, ys, xs, count=5, seed=0)
    assert chosen[0] == (4, 4)
    far = [np.hypot(xs[column] / 2, ys[row]) for row, column in chosen]
    assert far == sorted(far)
    assert far[-1] > 1
    assert chosen == stratified(status, ys, xs, count=5, seed=0)
    status[1, 4, 4] = NOT_FINITE
    assert (4, 4) not in stratified(status, ys, xs, count=5, seed=0)
    assert stratified(status * 0, ys, xs, count=5, seed=0) == []


def test_the_net_is_left_as_it_was() -> None:
    points, grid = scanned(PGD(LinfBall(0.1), steps=1), n=4)
    before = state_of(points.ladder.objective.model)
    audit(replace(points), grid.arrays["status"], YS, XS, count=1)
    assert_untouched(points.ladder.objective.model, before)
