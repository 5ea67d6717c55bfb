"""The Krylov basis takes what memory there is: four times k rows, fewer where it is short, none without a sentence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from landscape.curvature import Lanczos, lanczos, top_eigenpairs
from landscape.curvature.lanczos import find_room
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


def room(monkeypatch: pytest.MonkeyPatch, stored: torch.dtype = torch.float64, **free: int) -> Any:
    monkeypatch.setattr(lanczos, "available_bytes", lambda device: free[device.type])
    H: Any = SimpleNamespace(shape=(10**8, 10**8), device=torch.device("cuda"))
    return find_room(H, 20, guard=21, stored=stored, max_products=800)


def test_a_basis_lies_in_the_hosts_memory_where_the_device_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    on_device, on_host = room(monkeypatch, cuda=10**11, cpu=10**12), room(monkeypatch, cuda=5 * 10**10, cpu=10**12)
    assert (on_device.home.type, on_host.home.type) == ("cuda", "cpu")
    assert (on_device.rows, on_host.rows) == (40, 80)  # twice k where it is tight, four times where it is not
    assert on_device.bytes == 8 * 10**8 * (40 + 21 + 3) + 8 * 10**8 * (20 + 2)


def test_where_neither_has_room_the_forecast_says_what_it_takes_and_what_to_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = (
        r"64.1 GiB \(64 vectors of 8 bytes a parameter and 22 of 8\), and 4.7 GiB are free on cuda and 55.9 GiB are "
    )
    with pytest.raises(LandscapeError, match=wanted + "free on cpu; try --basis float32, or a smaller --top"):
        room(monkeypatch, cuda=5 * 10**9, cpu=6 * 10**10)
    assert room(monkeypatch, torch.float32, cuda=5 * 10**9, cpu=6 * 10**10).home.type == "cpu"


def test_a_basis_stored_in_less_finds_the_pairs_to_its_rounding() -> None:
    draws = torch.Generator().manual_seed(0)
    Q, _ = torch.linalg.qr(torch.randn(300, 300, dtype=torch.float64, generator=draws))
    values = torch.linspace(1, 2, 300, dtype=torch.float64) ** 8
    H = Q * values @ Q.T
    for stored, error in (("float64", 1e-12), ("float32", 1e-6), ("bfloat16", 0.05)):
        pairs = top_eigenpairs(H, 5, tol=1e-6, stored=stored, strict=False, max_products=200)
        true = np.linalg.norm((H @ pairs.vectors.T - pairs.vectors.T * torch.from_numpy(pairs.values)).numpy(), axis=0)
        np.testing.assert_allclose(pairs.residuals, true, atol=1e-9)  # checked by a product, whatever Lanczos claims
        assert float((pairs.vectors @ pairs.vectors.T - torch.eye(5)).abs().max()) <= error
