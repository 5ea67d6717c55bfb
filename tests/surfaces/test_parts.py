"""The parts of a gradient's change: NumPy's numbers in float64, both orders, and the jackknife by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.surfaces import parts
from landscape.surfaces.parts import STATISTICS, gram_of, statistics_of, with_errors

SIZES = np.array([3, 3, 2, 2])


def corners(scale: float = 1.0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Return sums over four groups of the gradients g(w0, a0), g(w, a0), g(w0, a), g(w, a), (4, 7) each."""
    rng = np.random.default_rng(1)
    start = rng.standard_normal((4, 7))
    return [torch.from_numpy(start + k * scale * rng.standard_normal((4, 7))).to(dtype) for k in range(4)]


def by_hand(start: np.ndarray, held: np.ndarray, moved: np.ndarray, end: np.ndarray) -> dict[str, float]:
    norm = np.linalg.norm
    change, frozen, move, first, later = end - start, held - start, end - held, moved - start, end - moved
    return {
        "gradient_cosine": start @ end / norm(start) / norm(end),
        "gradient_cosine_frozen": start @ held / norm(start) / norm(held),
        "gradient_norm": norm(end),
        "gradient_difference": norm(change),
        "gradient_difference_frozen": norm(frozen),
        "gradient_difference_adversary": norm(move),
        "gradient_difference_inner": frozen @ move,
        "adversary_first_frozen": norm(later),
        "adversary_first_adversary": norm(first),
        "adversary_first_inner": later @ first,
        "adversary_share": (move + first) @ change / 2 / (change @ change),
    }


def test_the_statistics_are_those_of_the_means() -> None:
    rows = corners()
    found = with_errors(gram_of(*rows), SIZES)
    expected = by_hand(*(part.numpy().sum(0) / SIZES.sum() for part in rows))
    assert set(expected) == set(STATISTICS)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name


def test_the_errors_are_the_jackknifes() -> None:
    rows = [part.numpy() for part in corners()]
    found = with_errors(gram_of(*map(torch.from_numpy, rows)), SIZES)
    without = [by_hand(*(np.delete(part, k, 0).sum(0) / np.delete(SIZES, k).sum() for part in rows)) for k in range(4)]
    for name in STATISTICS:
        values = np.array([row[name] for row in without])
        assert found[f"{name}_se"] == pytest.approx(np.sqrt(3 / 4 * ((values - values.mean()) ** 2).sum()), rel=1e-9)
    alone = with_errors(gram_of(*(part[:1] for part in corners())), SIZES[:1])
    assert np.isnan(alone["gradient_cosine_se"])
    assert np.isfinite(alone["gradient_cosine"])


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    """Along one axis the norm of the gradient is a mean, and each group an example: s / sqrt(n), exactly."""
    values = np.random.default_rng(0).uniform(1, 2, 30)
    rows = torch.zeros(30, 4, dtype=torch.float64)
    rows[:, 0] = torch.from_numpy(values)
    found = with_errors(gram_of(rows, rows, rows, rows), np.ones(30))
    assert found["gradient_norm"] == pytest.approx(values.mean(), rel=1e-12)
    assert found["gradient_norm_se"] == pytest.approx(values.std(ddof=1) / np.sqrt(30), rel=1e-12)


def test_a_small_change_of_a_large_gradient_is_not_lost_in_rounding() -> None:
    rows = corners(1e-5, torch.float32)
    found = with_errors(gram_of(*rows), SIZES)
    expected = by_hand(*(part.double().numpy().sum(0) / SIZES.sum() for part in rows))
    for name in ("gradient_difference", "gradient_difference_frozen", "adversary_first_adversary"):
        assert found[name] == pytest.approx(expected[name], rel=1e-9)


def test_columns_are_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gram_of(*corners())
    monkeypatch.setattr(parts, "_COLUMNS", 3)
    np.testing.assert_allclose(gram_of(*corners()), whole, rtol=1e-12)


def test_no_change_has_no_share_and_every_cosine_is_one() -> None:
    start = corners()[0]
    found = statistics_of(gram_of(start, start, start, start)[:, 0, :, 0])
    assert np.isnan(found["adversary_share"])
    assert found["gradient_difference"] == found["adversary_first_adversary"] == 0
    assert found["gradient_cosine"] == pytest.approx(1, abs=1e-15)
