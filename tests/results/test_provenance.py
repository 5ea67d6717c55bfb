from __future__ import annotations

import datetime
import getpass
import re
import socket
from pathlib import Path

import numpy as np
import pytest

from landscape.results import command_line, default_path, provenance, settings_hash


def test_provenance_says_when_and_with_what_and_not_where() -> None:
    told = provenance(command="landscape hessian net.pt", device="cpu", torch_version="2.13.0")
    made = datetime.datetime.fromisoformat(str(told["created"]))
    assert made.utcoffset() == datetime.timedelta(0)
    assert abs(datetime.datetime.now(datetime.UTC) - made) < datetime.timedelta(minutes=1)
    assert told["numpy_version"] == np.__version__
    assert told["command"] == "landscape hessian net.pt"
    text = " ".join(str(value) for name, value in told.items() if name != "command")
    assert socket.gethostname() not in text.split()
    assert getpass.getuser() not in text.split()


def test_a_command_is_as_one_types_it() -> None:
    assert command_line(["/usr/bin/landscape", "hessian", "my net.pt"]) == "landscape hessian 'my net.pt'"
    assert command_line([]) == "python"
    for module in ("__main__.py", "cli.py"):
        assert command_line([f"/site-packages/landscape/{module}", "hessian", "a.pt"]) == "landscape hessian a.pt"
    assert command_line(["/home/me/cli.py", "x"]) == "cli.py x"


def test_the_hash_depends_on_the_settings_alone() -> None:
    settings = {"eps": 0.1, "k": 20, "attack": {"steps": 10, "start": "ball"}, "path": Path("a/b")}
    known = settings_hash(settings)
    assert re.fullmatch("[0-9a-f]{6}", known)
    assert settings_hash(dict(reversed(settings.items()))) == known
    assert settings_hash({**settings, "k": 20.0}) == known
    assert settings_hash({**settings, "k": np.int64(20), "path": "a/b"}) == known
    for other in ({"k": 21}, {"eps": 0.1 + 1e-9}, {"attack": {"steps": 11, "start": "ball"}}, {"new": None}):
        assert settings_hash({**settings, **other}) != known
    assert settings_hash({"flag": True}) != settings_hash({"flag": 1})


@pytest.mark.parametrize(
    ("stem", "start"),
    [("net", "net"), ("digits/eps0.1", "digits-eps0.1"), ("../x y", "x-y"), ("", "net"), ("..", "net")],
)
def test_default_names_hold_no_folder_of_the_users(stem: str, start: str) -> None:
    path = default_path(stem, "hessian", {"k": 1})
    assert path == Path("results") / f"{start}.hessian-{settings_hash({'k': 1})}.h5"
