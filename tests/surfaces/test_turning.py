from __future__ import annotations

import numpy as np
import pytest

from landscape.errors import UsageError
from landscape.surfaces.turning import CUTS, finer, places_along, turn


@pytest.mark.parametrize(("asked", "count"), [(51, 51), (3, 3), (2, 3), (50, 51)])
def test_the_ends_and_the_middle_are_always_among_the_places(asked: int, count: int) -> None:
    t = places_along(asked)
    assert len(t) == count
    assert {0.0, 0.5, 1.0} <= set(t.tolist())
    assert (np.diff(t) > 0).all()


def test_places_may_be_named() -> None:
    np.testing.assert_array_equal(places_along([0.9, 0.25]), [0, 0.25, 0.5, 0.9, 1])


@pytest.mark.parametrize("wrong", [[0.0, 1.2], [-0.1], [float("nan")]])
def test_places_outside_the_curve_are_refused(wrong: list[float]) -> None:
    with pytest.raises(UsageError, match=r"lies outside \[0, 1\]"):
        places_along(wrong)


@pytest.mark.parametrize("wrong", [1, 0, -3, True, 20_000])
def test_a_number_that_cannot_be_meant_is_refused(wrong: int) -> None:
    with pytest.raises(UsageError, match="points = "):
        places_along(wrong)


def test_places_come_closer_where_the_loss_turns_and_nowhere_else() -> None:
    coarse = places_along(11)
    t = finer(coarse)
    assert len(t) == CUTS * 10 + 1
    np.testing.assert_array_equal(t[::CUTS], coarse)
    asked: list[int] = []
    losses = np.full((2, len(t)), np.nan)

    def evaluate(indices: list[int]) -> np.ndarray:
        asked.extend(indices)
        at = t[indices]
        losses[0, indices] = 1 + np.abs(at - 0.7)  # a kink at 0.7, straight elsewhere
        losses[1, indices] = 2 + at
        return losses

    found = turn(t, evaluate, tol=0.02)
    assert found == sorted(asked)
    assert set(range(0, len(t), CUTS)) <= set(found)
    extra = t[[k for k in found if k % CUTS]]
    assert len(extra) > 0
    assert np.abs(extra - 0.7).max() <= 0.1
    assert np.abs(extra - 0.7).min() == pytest.approx(0.025)  # down to the finest step


def test_next_to_what_is_no_number_the_places_are_as_fine_as_can_be() -> None:
    t = finer(places_along(5))
    losses = np.full((1, len(t)), np.nan)

    def evaluate(indices: list[int]) -> np.ndarray:
        losses[0, indices] = np.where(np.abs(t[indices] - 0.5) < 0.1, np.nan, 1.0)
        return losses

    found = turn(t, evaluate, tol=0.1)
    assert {7, 8, 9} <= set(found)
