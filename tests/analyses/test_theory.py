"""The linear model on real data, from notebook to result: digits 3 and 8, and data that cannot be meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from landscape.analyses.theory import linear_theory

from landscape.data import load_data
from landscape.errors import DataError, LandscapeError, UsageError
from landscape.results import Result, read_result
from tests.theory.oracle import withstands

RADII = [0.02, 0.06, 0.07, 0.2, 0.29, 0.31]


@pytest.fixture(scope="module")
def result() -> Result:
    return linear_theory("digits", classes=(8, 3), eps=[*RADII[::-1], 0.2])


def test_digits_3_and_8(result: Result) -> None:
    """The thresholds from means computed here; gamma* between a classifier and two points of the hulls."""
    data = load_data("digits")
    images = data.images.flatten(1).numpy().astype(float)
    three, eight = (images[data.labels.numpy() == label] for label in (3, 8))
    n = len(three) + len(eight)
    assert result.class_pair == "3,8"
    assert result.class_counts == {"3": len(three), "8": len(eight)}
    assert result.n_examples == n
    assert result.eps_bar_bias == pytest.approx(np.abs(three.mean(0) - eight.mean(0)).max() / 2, abs=1e-12)
    assert result.eps_bar == pytest.approx(np.abs(three.sum(0) - eight.sum(0)).max() / n, abs=1e-12)
    assert result.eps_bar_bias < result.eps_bar_box < 0.5
    assert 0 <= result.gamma_star_bound - result.gamma_star < 1e-9
    assert result.gamma_star < result.eps_bar_bias
    assert np.isnan(result.gamma_star_box)
    share = len(three) / n
    assert result.constant_loss == pytest.approx(-share * np.log(share) - (1 - share) * np.log(1 - share))


def test_the_optima_along_eps(result: Result) -> None:
    assert result.eps.tolist() == RADII
    assert result.regime.tolist() == [0, 0, 1, 1, 1, 2]
    assert result.status == "complete"
    assert (np.diff(result.loss) >= 0).all()
    assert result.loss[-1] == pytest.approx(result.constant_loss, abs=1e-12)
    assert result.weight_norm[-1] == 0
    assert np.nanmax(result.kkt_residual) < 1e-7


def test_the_margin_on_two_pixels_is_what_an_independent_programme_finds() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((40, 1, 1, 2), dtype=np.float32)
    labels = (images[:, 0, 0, 0] + 0.4 * images[:, 0, 0, 1] > 0.7).astype(int)
    images[labels == 1] += 0.1 * (1 - images[labels == 1])
    found = linear_theory((images, labels), classes=(0, 1), box=True)
    flat = images.reshape(40, 2).astype(float)
    for name, box in (("gamma_star", False), ("gamma_star_box", True)):
        threshold = found.attrs[name]
        assert isinstance(threshold, float)
        assert threshold > 0.001
        assert withstands(flat, labels, 0.99 * threshold, box=box)
        assert not withstands(flat, labels, 1.01 * threshold + 1e-5, box=box)


def test_the_default_grid_brackets_both_thresholds() -> None:
    found = linear_theory("digits", classes=(0, 1), n_examples=80)
    assert 41 < len(found.eps) <= 45
    assert found.eps[0] == 0
    assert found.eps[-1] == pytest.approx(1.2 * found.eps_bar_bias)
    for threshold, regimes in ((found.gamma_star, [0, 1]), (found.eps_bar_bias, [1, 2])):
        around = [int(np.argmin(np.abs(found.eps - side * threshold))) for side in (0.99, 1.01)]
        np.testing.assert_allclose(found.eps[around], [0.99 * threshold, 1.01 * threshold], rtol=1e-9)
        assert found.regime[around].tolist() == regimes


def test_data_without_a_separator_have_no_separable_regime() -> None:
    images = np.zeros((6, 1, 2, 2), np.float32)
    images[:, 0, 0, 0] = [0.2, 0.6, 0.4, 0.3, 0.7, 0.5]
    found = linear_theory((images, [0, 0, 0, 1, 1, 1]), classes=(0, 1))
    assert found.gamma_star == 0 == pytest.approx(found.gamma_star_bound, abs=1e-12)
    assert len(found.eps) == 43  # nothing stands around a threshold of 0
    assert set(found.regime.tolist()) == {1, 2}
    assert np.isfinite(found.weight_norm).all()


def test_it_comes_back_from_its_file(result: Result, tmp_path: Any) -> None:
    back = read_result(result.save(tmp_path / "theory.h5"))
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)
    assert back.to_xarray().sizes == {"eps": len(RADII)}
    assert "theory" in repr(back)


@pytest.mark.parametrize(
    ("data", "settings", "error", "said"),
    [
        ("digits", {"classes": (3, 3)}, UsageError, "--classes 3,3 names one class; give two, such as --classes 3,8"),
        (
            "digits",
            {"classes": (3, 12)},
            UsageError,
            "class 12 has no example in digits, train split; there are 0, 1, 2",
        ),
        ("digits", {"classes": (3, 8), "eps": [1.5]}, UsageError, "eps = 1.5 is outside [0, 1], the range of pixels"),
        ("digits", {"classes": (3, 8), "eps": []}, UsageError, "there is no eps; give one or more"),
        ("digits", {"classes": (3, 8), "n_examples": 288}, UsageError, "digits, classes 3 and 8 has 287 in its train"),
        ("digits", {"classes": (3, 8), "n_examples": 1}, DataError, "all 1 examples are of one class; give more"),
        ((np.ones((4, 1, 2, 2), "f"), [1] * 4), {"classes": (0, 1)}, DataError, "in memory has one class only (1)"),
        ((np.zeros((4, 1, 2, 2), "f"), [0, 0, 1, 1]), {"classes": (0, 1)}, DataError, "have the same mean, so that"),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_sentence(
    data: Any, settings: dict[str, Any], error: type[LandscapeError], said: str
) -> None:
    with pytest.raises(error) as caught:
        linear_theory(data, **settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
