"""Each use of randomness draws from its own stream, the same on every machine."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from landscape.streams import example_streams, stream, stream_key


def test_the_same_name_and_seed_draw_the_same() -> None:
    np.testing.assert_array_equal(stream(3, "attack").random(8), stream(3, "attack").random(8))


@pytest.mark.parametrize("other", [(4, "attack"), (3, "examples"), (31, "ttack"), (-3, "attack")])
def test_another_name_or_seed_draws_otherwise(other: tuple[int, str]) -> None:
    assert not np.isin(stream(*other).random(8), stream(3, "attack").random(8)).any()


def test_a_stream_never_changes_between_releases() -> None:
    """Published numbers were drawn from these; a new key would shift every one of them."""
    assert stream_key(0, "attack") == 17522165665916594058
    assert stream(0, "attack").integers(0, 1000, 5).tolist() == [53, 772, 802, 820, 352]


def test_seeds_and_names_may_be_any() -> None:
    assert 0 <= stream_key(2**80, "λ, any text / at all") < 2**64
    assert stream_key(np.int64(7), "x") == stream_key(7, "x")


def test_an_example_draws_the_same_in_any_company() -> None:
    together = [generator.random(4) for generator in example_streams(0, "attack/0", [5, 9, 2])]
    alone = next(iter(example_streams(0, "attack/0", np.array([9])))).random(4)
    np.testing.assert_array_equal(together[1], alone)


def test_examples_draw_independently() -> None:
    """Neighbouring indices share nothing: first draws are uniform (a fair stream fails once in 1,000 seeds)."""
    first = np.array([generator.random() for generator in example_streams(0, "attack/0", range(2000))])
    assert len(np.unique(first)) == 2000
    assert stats.kstest(first, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 4 / np.sqrt(2000)


def test_the_first_example_is_not_the_stream_itself() -> None:
    (first,) = example_streams(0, "attack", [1])
    assert not np.array_equal(first.random(4), stream(0, "attack").random(4))
