"""What the tests of commands share: a tiny net, trained once by the command itself, and a result of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.commands.runner import SMALL, landscape


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net of one epoch on the digits at eps 0.02; read it, and leave it as it is."""
    path = tmp_path_factory.mktemp("trained") / "tiny.pt"
    settings = "--data digits --model lenet:width=1 --eps 0.02 --epochs 1 --lr 0.01 --batch-size 64"
    done = landscape("train", *settings.split(), "--out", path)
    assert done.code == 0, done.err
    return path


@pytest.fixture(scope="session")
def measured(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Hessian result of that net with the settings SMALL; read it, and leave it as it is."""
    path = tmp_path_factory.mktemp("measured") / "tiny.h5"
    done = landscape("hessian", trained, *SMALL, "--out", path)
    assert done.code == 0, done.err
    return path


@pytest.fixture
def tiny(trained: Path) -> Path:
    """A copy of the net in the test's own folder."""
    return Path(shutil.copy(trained, "tiny.pt"))
