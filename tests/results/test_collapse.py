from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.results.collapse import Collapse


def grid(cells: list[list[list[float]]]) -> Collapse:
    array = np.array(cells, dtype=float)
    widths = tuple(2**k for k in range(array.shape[0]))
    return Collapse(widths, tuple(0.1 * k for k in range(array.shape[1])), tuple(range(array.shape[2])), array)


def test_the_frontier_lies_where_half_of_the_runs_collapse() -> None:
    found = grid(
        [
            [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]],  # 0, 1/4, 3/4: half way between the last two
            [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],  # never
            [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]],  # from the first radius on
            [[0, 0, 0, 0], [math.nan] * 4, [1, 1, 1, 1]],  # a cell that is not there is passed over
        ]
    )
    assert found.frontier() == pytest.approx([0.15, math.inf, 0.0, 0.1])
    assert found.runs.tolist() == [[4, 4, 4], [4, 4, 4], [4, 4, 4], [4, 0, 4]]
    assert math.isnan(found.shares[3, 1])


def test_trends_are_paired_by_seed_and_students() -> None:
    """Three seeds whose shares over two widths differ by d_s: mean and Student's interval of d, by hand."""
    cells = [[[1, 1, 1], [1, 1, 0]], [[0, 1, 0], [0, 0, 0]]]  # shares 1, 1, 1/2 and 0, 1/2, 0
    by_width, by_eps = grid(cells).effects()
    differences = np.array([-1.0, -0.5, -0.5])
    half = 4.302652729749 * differences.std(ddof=1) / math.sqrt(3)  # Student's 97.5 % quantile of 2 degrees
    assert by_width.interval.value == pytest.approx(differences.mean())
    assert by_width.interval.high - by_width.interval.value == pytest.approx(half)
    assert by_width.verdict == "too small to tell" if differences.mean() + half > 0 else "fewer with width"
    assert by_eps.seeds == 3
    assert by_eps.interval.value == pytest.approx(np.mean([0.0, -0.5, -0.5]))


def test_seeds_with_missing_runs_count_in_cells_and_not_in_trends() -> None:
    cells = [[[1, 0, 1], [1, 1, 1]], [[0, 0, math.nan], [0, 1, 0]]]
    by_width, _ = grid(cells).effects()
    assert by_width.seeds == 2
    assert by_width.verdict == "too few seeds (2)"
