"""What every test stands on: one thread, no network, no display, and nothing of the user's read or written."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

# Sums run in one order only on one thread; set before anything imports torch or NumPy, and passed on to subprocesses.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MPLBACKEND="Agg")
# A proxy of the user's would stand between a test and its own local server.
os.environ.update(NO_PROXY="*", no_proxy="*")

# The same examples at every run, so that what fails in CI fails here; no deadline, since cores are shared.
hypothesis.settings.register_profile("landscape", derandomize=True, deadline=None)
hypothesis.settings.load_profile("landscape")

LOCAL = {None, "", "localhost", "127.0.0.1", "::1"}
REAL_DATA = os.environ.pop("LANDSCAPE_DATA", None)


def pytest_configure(config: pytest.Config) -> None:
    """Keep matplotlib's list of fonts between runs, out of the user's folders."""
    cache = getattr(config, "cache", None)
    if cache is not None:
        os.environ["MPLCONFIGDIR"] = str(cache.mkdir("matplotlib"))


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that speaks to any machine but this one; skip one whose real data are not in LANDSCAPE_DATA."""
    marked = request.node.get_closest_marker("real_data") is not None
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def check(host: Any) -> None:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in LOCAL and marked:
            pytest.skip(f"{REAL_DATA} does not hold the data; the test would have downloaded them from {name}")
        if name not in LOCAL:
            pytest.fail(f"the test asked the network for {name!r}; tests speak to this machine alone")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple):
            check(address[0])
        connect(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        check(host)
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


@pytest.fixture(autouse=True)
def own_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder of the test's own, where relative outputs land, with an empty cache of data."""
    folder = tmp_path_factory.mktemp("cwd")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Hear SIGINT as a program at a prompt hears it: a job in the background may have been told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def real_data(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Show LANDSCAPE_DATA to the tests marked real_data alone, and skip those where it is not set."""
    if request.node.get_closest_marker("real_data"):
        if REAL_DATA is None:
            pytest.skip("needs LANDSCAPE_DATA, the folder that holds MNIST and CIFAR-10")
        monkeypatch.setenv("LANDSCAPE_DATA", REAL_DATA)


@pytest.fixture(autouse=True)
def cuda(request: pytest.FixtureRequest) -> None:
    """Skip the tests marked cuda where there is no CUDA device."""
    if request.node.get_closest_marker("cuda"):
        import torch  # not before the settings above

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
