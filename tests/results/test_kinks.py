"""Verdicts from jumps alone: what grows like 1/h, what does not, and what cannot be told."""

from __future__ import annotations

import numpy as np

from landscape.results.kinks import Verdict, differences, judge

H = np.array([0.01, 0.02, 0.05, 0.1])


def judged(*jumps: list[float], distance: float = 1.0) -> list[list[int]]:
    jump = np.array(jumps).T
    return judge(jump, np.full(jump.shape, distance), H, resolution=0.1).T.tolist()


def test_a_constant_jump_is_a_kink_and_one_that_falls_with_h_is_not() -> None:
    still, kink, smooth, few = (int(code) for code in Verdict)
    assert judged([1, 1, 1, 1], [0.01, 0.02, 0.05, 0.1], [0, 0, 0, 0]) == [[kink] * 4, [smooth] * 4, [still] * 4]
    assert judged([0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]) == [
        [still, kink, kink, kink],
        [still, still, few, few],
        [still, still, still, few],
    ]
    assert judged([1, 1, 1, 1], distance=0.05) == [[smooth] * 4]  # nearer than the ascent tells apart
    assert judged([1, 0, 1, 1]) == [[few, still, few, few]]


def test_differences_of_two_branches_by_hand() -> None:
    """Losses |t| as max(t, -t): two perturbations, of which each place's own is the other's on the wrong side."""
    h = np.array([0.5, 1.0])
    places = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    branches = np.stack([-places, places])  # (2, T)
    right = np.stack([branches[0], branches[0], branches[0], branches[1], branches[1]], axis=1)[..., None]
    found = differences(right, h)
    np.testing.assert_allclose(found.curvature[:, 0], 2 / h)
    np.testing.assert_allclose(found.raw[:, 0], 2 / h)
    np.testing.assert_allclose(found.frozen[:, 0], 0)
    np.testing.assert_allclose(found.jump[:, 0], 2)
    np.testing.assert_allclose(found.own_jump[:, 0], 2)
    assert found.crosses.all()
    wrong = right[:, ::-1]  # an attack that answers with the other branch on both sides
    found = differences(wrong, h)
    np.testing.assert_allclose(found.own_jump[:, 0], -2)
    np.testing.assert_allclose(found.jump[:, 0], 2)
    np.testing.assert_allclose(found.raw[:, 0], -2 / h)
    assert not found.crosses.any()
