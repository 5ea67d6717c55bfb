"""Shipped nets by name: where they are looked for, what wins, and what is said when there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from landscape import shipped
from landscape.checkpoint import load_model, read_checkpoint, save_checkpoint
from landscape.errors import CheckpointError

README = Path(__file__).resolve().parent.parent / "checkpoints" / "README.md"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder that ships two nets."""
    for name in ("eps0", "eps0.1"):
        save_checkpoint(
            tmp_path / f"package/checkpoints/digits/{name}.pt",
            nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
            model_spec=None,
            data_spec="digits",
            training={"eps": 0.1},
        )
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(shipped, "_package_folders", [str(tmp_path / "elsewhere"), str(tmp_path / "package")])
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "package/checkpoints"


def test_names_resolve_to_files(installed: Path) -> None:
    assert shipped.shipped_names() == ["digits/eps0", "digits/eps0.1"]
    assert shipped.resolve_checkpoint("digits/eps0.1") == installed / "digits/eps0.1.pt"
    assert read_checkpoint("digits/eps0.1").name == "digits/eps0.1"
    assert read_checkpoint(installed / "digits/eps0.1.pt").name == "eps0.1"


def test_a_real_path_wins(installed: Path) -> None:
    Path("digits").mkdir()
    Path("digits/eps0.1").write_bytes((installed / "digits/eps0.pt").read_bytes())
    assert shipped.resolve_checkpoint("digits/eps0.1") == Path("digits/eps0.1")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digits/eps0.2", r"neither a file nor a shipped net; of the shipped nets, did you mean digits/eps0"),
        ("nothing.pt", "there are digits/eps0, digits/eps0.1"),
        ("../package/checkpoints/digits/eps0", "neither a file"),
        ("x" * 5000, "neither a file"),
        (".", "is a folder; name a checkpoint file in it"),
        ("/dev/null", "is a pipe or a device"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest_names(installed: Path, name: str, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        read_checkpoint(name)
    assert caught.value.exit_code == 1


def test_nothing_shipped_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "_package_folders", [])
    with pytest.raises(CheckpointError, match=r"neither a file nor a shipped net; give the path of a \.pt file"):
        shipped.resolve_checkpoint("digits/eps0.1")


@pytest.mark.parametrize("name", shipped.shipped_names())
def test_every_net_that_ships_loads_and_is_small(name: str) -> None:
    found = read_checkpoint(name)
    assert found.path.stat().st_size < 1_000_000
    assert found.data == "digits"
    assert load_model(found)(torch.rand(2, 1, 8, 8)).shape == (2, 10)


def test_the_readme_of_the_nets_gives_their_hashes_and_their_errors() -> None:
    told = README.read_text(encoding="utf-8")
    nets = [read_checkpoint(name) for name in shipped.shipped_names()]
    hashes = dict(re.findall(r"^([0-9a-f]{64})  digits/(.*)\.pt$", told, re.MULTILINE))
    assert hashes == {net.sha256: net.path.stem for net in nets}
    rows = re.findall(r"^\| `(.*?)` \| (.*) \|$", told, re.MULTILINE)
    columns = ("clean_train_error", "robust_train_error", "clean_test_error", "robust_test_error")
    assert dict(rows) == {
        net.name: " | ".join(f"{100 * net.training['final'][column]:.2f} %" for column in columns) for net in nets
    }
