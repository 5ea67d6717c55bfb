"""Named streams of randomness: every use draws from its own, so that a new use never shifts another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def stream_key(seed: int, name: str) -> int:
    """Return the 64-bit key of the stream called `name` under one seed."""
    digest = hashlib.blake2b(f"{int(seed)}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the stream called `name` under one seed, as a NumPy generator (Philox: counter-based)."""
    return np.random.Generator(np.random.Philox(key=stream_key(seed, name)))


def example_streams(seed: int, name: str, indices: Iterable[int]) -> list[np.random.Generator]:
    """Return one generator per example, a function of (seed, name, index) alone: the same in every batch."""
    key = stream_key(seed, name)
    return [np.random.Generator(np.random.Philox(key=(key, int(i)))) for i in indices]
