"""What is documented is executed: the README's commands are parsed by the real command line, its Python is run."""

from __future__ import annotations

import re
import shlex
import sys
import types
from pathlib import Path
from typing import Any

import click
import pytest

from landscape.cli import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", "docs/results.md", "checkpoints/README.md"]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("landscape ")])
def test_each_command_parses(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    context = click.Context(main)
    command = main.get_command(context, name)
    assert command is not None
    assert command.make_context(name, arguments, parent=context).params


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("python ")])
def test_each_script_is_there(line: str) -> None:
    assert (ROOT / shlex.split(line)[1]).is_file()


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("make ")])
def test_each_target_is_there(line: str) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert line.split()[1] in targets


def test_the_page_holds_no_other_kind_of_command() -> None:
    known = ("landscape ", "python ", "make ", "source ", "pip ")
    assert [line for line in commands() if not line.startswith(known)] == []


def test_the_notebook_lines_run() -> None:
    (first,) = [block for block in blocks("README.md", "python") if "landscape.hessian" in block]
    # The same lines on fewer examples and pairs: all of them take minutes.
    scope: dict[str, object] = {}
    exec(first.replace("top=20", "top=2, n_examples=64"), scope)
    result = scope["result"]
    assert result.eigenvalues.shape == (2,)  # type: ignore[attr-defined]
    assert Path("hessian.h5").is_file()


def test_the_net_of_ones_own_runs(capfd: pytest.CaptureFixture[str]) -> None:
    import numpy as np
    import torch

    (own,) = [block for block in blocks("README.md", "python") if "mynet.py" in block]
    Path("mynet.py").write_text(own)
    scope: dict[str, object] = {}
    exec(own, scope)
    torch.save(scope["build"]().state_dict(), "weights.pt")  # type: ignore[operator]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    np.savez("mydata.npz", images=images, labels=rng.integers(0, 10, 40))
    for line in [line for line in commands() if "mynet.py" in line]:
        assert main([*shlex.split(line)[1:], "--top", "2"], standalone_mode=False) in (None, 0)
        assert "next: landscape plot" in capfd.readouterr().out


def test_the_nets_of_other_packages_are_built_as_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages are no dependency: a small net stands in for each, and its weights go through the wrapper."""
    import torch
    from torch import nn

    from landscape.checkpoint import load_model

    def small(*_: object, **__: object) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 5))

    for name in ("torchvision", "timm", "robustbench", "robustbench.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    torchvision: Any = sys.modules["torchvision"]
    torchvision.models = types.SimpleNamespace(resnet18=small)
    sys.modules["timm"].create_model = small  # type: ignore[attr-defined]
    sys.modules["robustbench.utils"].load_model = small  # type: ignore[attr-defined]
    (own,) = [block for block in blocks("docs/method.md", "python") if "nets.py" in block]
    Path("nets.py").write_text(own)
    plain = small()
    torch.save(plain.state_dict(), "plain.pth")
    images = torch.rand(2, 3, 4, 4)
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(load_model("plain.pth", model="nets.py:resnet18")(images), plain((images - mean) / std))
    torch.testing.assert_close(load_model("plain.pth", model="nets.py:vit")(images), plain(2 * images - 1))
    torch.testing.assert_close(load_model("plain.pth", model="nets.py:robust")(images), plain(images))
