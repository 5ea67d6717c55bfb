"""Hostile files of unfinished computations: no run goes on from them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from landscape.errors import ResultError
from landscape.results import GrowingResult, growing_progress, read_result, read_snapshot, write_snapshot
from landscape.training.resume import write_state
from tests.commands.runner import landscape
from tests.hostile.spoiling import attribute, linked, refused, replaced


def snapshot(change: Callable[[h5py.File], Any]) -> None:
    write_snapshot("h.h5.partial", {"values": np.ones(3), "residuals": np.ones(3)}, {}, identity={"eps": 0.1})
    with h5py.File("h.h5.partial", "r+") as file:
        change(file)


@pytest.mark.parametrize(
    "change",
    [
        attribute("identity", "[1]"),
        attribute("identity", np.ones(3)),
        attribute("identity", "{"),
        attribute("schema_version", np.ones(3)),
        attribute("kind", np.array(["snapshot"], h5py.string_dtype())),
        lambda file: file.attrs.__delitem__("identity"),
        lambda file: file["values"].attrs.__delitem__("crc32"),
        lambda file: file["values"].attrs.create("crc32", np.ones(3)),
        replaced("values", shape=(3,), dtype=h5py.vlen_dtype("f8")),
        replaced("values", shape=(2**40,), dtype="f8", chunks=(2**20,)),
        replaced("values", shape=(3,), dtype="f8", external=[("pipe", 0, 24)]),
        linked("values", h5py.ExternalLink("pipe", "/x")),
    ],
)
def test_a_hostile_snapshot_is_refused(change: Callable[[h5py.File], Any]) -> None:
    os.mkfifo("pipe")
    snapshot(change)
    with pytest.raises(ResultError, match=r"h\.h5\.partial"):
        read_snapshot("h.h5.partial", identity={"eps": 0.1})
    refused("info", "h.h5.partial")


ARRAYS = {"loss": np.full((1, 2, 2), np.nan), "status": np.zeros((1, 2, 2), np.uint8)}


@pytest.mark.parametrize(
    "change",
    [
        replaced("checksum", shape=(2**20, 2**20), dtype="u4", chunks=(2**9, 2**9)),
        replaced("checksum", data=np.ones((3, 2), np.uint32)),
        replaced("loss", data=np.ones((1, 2, 2), np.float32)),
        replaced("loss", shape=(1, 2, 2), dtype="f8", external=[("pipe", 0, 32)]),
        linked("loss", h5py.ExternalLink("pipe", "/x")),
        attribute("identity", "[]"),
        lambda file: file.__delitem__("loss"),
    ],
)
def test_a_hostile_scan_is_not_gone_on_with(change: Callable[[h5py.File], Any]) -> None:
    os.mkfifo("pipe")
    with GrowingResult("s.h5", {"eps": 0.1}) as growing:
        growing.open(ARRAYS, {"x": np.arange(2.0)})
        growing.put(0, 1, {"loss": np.ones(1), "status": np.ones(1, np.uint8)})
    assert growing_progress("s.h5.partial") == (1, 4)
    with h5py.File("s.h5.partial", "r+") as file:
        change(file)
    with pytest.raises(ResultError, match=r"s\.h5\.partial"), GrowingResult("s.h5", {"eps": 0.1}) as growing:
        growing.open(ARRAYS, {})


def test_a_state_that_is_not_a_run_s_is_told_when_it_is_taken_up() -> None:
    words = ("hessian", "digits/eps0.1", "--top", "1", "--n-examples", "20", "--out", "h.h5", "--tol", "0.1")
    assert landscape(*words).code == 0
    identity = {
        **read_result("h.h5", only=()).attrs["settings"],
        "landscape_version": __import__("landscape").__version__,
    }
    Path("h.h5").unlink()
    write_snapshot("h.h5.partial", {"junk": np.ones(3)}, {}, identity=identity)
    assert "does not hold what this run goes on from (KeyError" in refused(*words)
    write_state(Path("t.resume.pt"), {"trainer": {}}, settings={})
    trained = ("train", "--data", "digits", "--model", "linear", "--eps", "0", "--epochs", "1", "--out", "t.pt")
    done = landscape(*trained, "--resume")
    assert done.code == 1
    assert "t.resume.pt belongs to a run of other settings" in done.err
