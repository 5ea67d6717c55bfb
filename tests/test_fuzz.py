"""The readers under damage for seconds; `python tests/fuzz_readers.py --minutes 60` is the long run of the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests import fuzz_readers

EXAMPLES = 25  # of each group of kinds: some ten seconds in all


@pytest.mark.parametrize("only", [".pt", ".h5", ".npz", ".safetensors"])
def test_a_damaged_file_is_read_or_refused_in_one_sentence(tmp_path: Path, only: str) -> None:
    counts: Counter[str] = Counter()
    fuzz_readers.campaign(tmp_path, examples=EXAMPLES, number=0, counts=counts, only=only)
    assert sum(counts.values()) >= EXAMPLES


def test_every_seed_is_a_good_file(tmp_path: Path) -> None:
    """A fuzzer whose seeds are refused already would find nothing."""
    for name, content in fuzz_readers.seeds(tmp_path / "seeds").items():
        outcome = fuzz_readers.check(tmp_path / f"damaged.{name}", content)
        assert outcome.startswith("read by"), (name, outcome)
