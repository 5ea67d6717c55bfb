"""The Krylov basis takes what memory there is: four times k rows, fewer where it is short, none without a sentence."""

from __future__ import annotations

import pytest
import torch

from landscape.curvature import Lanczos, lanczos
from landscape.errors import LandscapeError


def rows(monkeypatch: pytest.MonkeyPatch, free: int) -> int:
    monkeypatch.setattr(lanczos, "available_bytes", lambda device: free)
    return Lanczos(torch.eye(1000, dtype=torch.float64), 10).space.capacity


def test_short_memory_gives_a_smaller_basis(monkeypatch: pytest.MonkeyPatch) -> None:
    roomy, tight = rows(monkeypatch, 2**30), rows(monkeypatch, 1_100_000)
    assert roomy - tight == 40 - 25  # a quarter of 1.1 MB holds 34 rows of 8,000 bytes, 9 of them the guard's


def test_no_memory_is_forecast_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LandscapeError, match=r"10 eigenpairs of 1,000 parameters need a basis of .* GiB"):
        rows(monkeypatch, 100_000)
