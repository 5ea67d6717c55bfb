"""Bounds that every test with a hostile file is held to."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY, SECONDS = 200 * 2**20, 10.0  # bytes that a process may grow by over one file, and its CPU time


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Hold each test to the bounds on memory and time, and to leaving nothing behind that a file asked for."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert time.process_time() - began < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY
    assert not Path("harmed").exists()
