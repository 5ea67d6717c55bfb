"""What is documented is executed: commands are parsed by the real command line, Python is run."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import sys
import types
from pathlib import Path
from typing import Any

import click
import pytest

from landscape.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]
MADE = ("cli.md", "python.md")  # from the code itself; test_generated.py holds them to it
WRITTEN = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md") if path.name not in MADE)
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "checkpoints/README.md", *WRITTEN]
# What a design of a study leaves open.
STANDS_FOR = {"EPS": "0.1", "SEED": "0", "S": "0", "T": "1", "W": "2", "R": "0.3", "RATE": "0.001"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file that the README's lines save, on fewer examples and pairs: all of them take minutes."""
    (first,) = blocks("README.md", "python")
    path = tmp_path_factory.mktemp("notebook") / "hessian.h5"
    exec(first.replace("top=20", "top=2, n_examples=64").replace("hessian.h5", str(path)), {})
    return path


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)


def commands(*pages: str) -> list[str]:
    """Return the command lines of pages: those of shell blocks, and those that stand indented in a text."""
    found = []
    for page in pages or PAGES:
        typed = re.findall(r"^ {4}((?:landscape|python) (?:.*\\\n)*.*)", text_of(page), re.MULTILINE)
        for block in [*blocks(page, "sh"), *typed]:
            found += [line.split("  #")[0].strip() for line in block.replace("\\\n", " ").splitlines()]
    return list(dict.fromkeys(line for line in found if line and not line.startswith("#")))


def words_of(line: str) -> list[str]:
    names = "|".join(STANDS_FOR)
    return shlex.split(re.sub(rf"(?<![A-Z])({names})(?![A-Za-z])", lambda found: STANDS_FOR[found[1]], line))


def command_of(name: str) -> click.Command:
    command = main.get_command(click.Context(main, **main.context_settings), name)
    assert command is not None
    return command


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith(("landscape ", "torchrun "))])
def test_each_command_parses(line: str) -> None:
    words = words_of(line)
    name, *arguments = words[words.index("landscape") + 1 :]
    assert command_of(name).make_context(name, arguments, parent=click.Context(main, **main.context_settings)).params


def test_each_option_named_in_a_sentence_is_there() -> None:
    """`landscape NAME --option` has that option; `--option` alone is one of some command's, or of a script's."""
    options = {
        name: {text for parameter in command_of(name).params for text in [*parameter.opts, *parameter.secondary_opts]}
        for name in COMMANDS
    }
    scripts = [path.read_text() for folder in ("figures", "benchmarks") for path in (ROOT / folder).glob("*.py")]
    everywhere = set(re.findall(r'"(--[a-z-]+)"', "\n".join(scripts))).union(*options.values())
    unknown = []
    for page in PAGES:
        for span in re.findall(
            r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
        ):
            program, *rest = span.split()
            if program == "landscape" and rest and not rest[0].startswith("-"):
                known = options.get(rest[0], set())
                asked = [word for word in rest[1:] if word.startswith("--")]
            elif program.startswith("--"):
                known, asked = everywhere, [program]
            else:
                continue
            unknown += [f"{page}: {span}" for word in asked if not {*word.split("/")} <= known | {"--help", "..."}]
    assert unknown == []


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("python ")])
def test_each_script_is_there(line: str) -> None:
    assert (ROOT / shlex.split(line)[1]).is_file()


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("make ")])
def test_each_target_is_there(line: str) -> None:
    targets = re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE)
    assert line.split()[1] in targets


def test_the_pages_hold_no_other_kind_of_command() -> None:
    known = ("landscape ", "torchrun ", "python ", "make ", "source ", "pip ")
    assert [line for line in commands() if not line.startswith(known)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/extend.md"])  # test_extend.py runs that one
def test_python_on_a_page_imports_what_there_is(page: str) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("landscape"):
                module = importlib.import_module(str(node.module))
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_the_notebook_lines_run(made: Path) -> None:
    assert made.is_file()
    assert blocks("docs/start.md", "python") == blocks("README.md", "python")


def test_a_result_opens_without_landscape(made: Path) -> None:
    """The lines of formats.md, on the file of the notebook's lines."""
    (first,) = blocks("docs/formats.md", "python")
    Path("hessian.h5").write_bytes(made.read_bytes())
    exec(first, {})


def test_what_is_ones_own_runs(capfd: pytest.CaptureFixture[str]) -> None:
    import numpy as np
    import torch

    own, data = blocks("docs/own.md", "python")[:2]
    Path("mynet.py").write_text(own)
    Path("mydata.py").write_text(data)
    scope: dict[str, object] = {}
    exec(own, scope)
    torch.save(scope["build"]().state_dict(), "weights.pt")  # type: ignore[operator]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    np.savez("mydata.npz", images=images, labels=rng.integers(0, 10, 40))
    shorter = {"hessian": ["--top", "2"], "surface": ["--n-examples", "10", "--eps", "0"]}
    for line in [line for line in commands("docs/own.md") if "mynet.py" in line]:
        name, *words = shlex.split(line)[1:]
        code = main([name, *words, *shorter.get(name, [])], standalone_mode=False)
        assert code in (None, 0) or name == "doctor"  # which finds that a net at its start knows nothing
        assert "Error" not in capfd.readouterr().err


def test_the_nets_of_other_packages_are_built_as_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages are no dependency: a small net stands in for each, and its weights go through the wrapper."""
    import torch
    from torch import nn

    from landscape.checkpoint import load_model

    def small(*_: object, **__: object) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 5))

    class InAnObject(nn.Sequential):
        def forward(self, images: torch.Tensor) -> Any:
            return types.SimpleNamespace(logits=super().forward(images))

    for name in ("torchvision", "timm", "transformers", "robustbench", "robustbench.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    torchvision: Any = sys.modules["torchvision"]
    torchvision.models = types.SimpleNamespace(resnet18=small)
    sys.modules["timm"].create_model = small  # type: ignore[attr-defined]
    sys.modules["robustbench.utils"].load_model = small  # type: ignore[attr-defined]
    transformers: Any = sys.modules["transformers"]
    transformers.ViTConfig = dict
    transformers.ViTForImageClassification = lambda config: InAnObject(*small())
    (own,) = [block for block in blocks("docs/own.md", "python") if "nets.py" in block]
    Path("nets.py").write_text(own)
    plain = small()
    torch.save(plain.state_dict(), "plain.pth")
    images = torch.rand(2, 3, 4, 4)
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(load_model("plain.pth", model="nets.py:resnet18")(images), plain((images - mean) / std))
    torch.testing.assert_close(load_model("plain.pth", model="nets.py:vit")(images), plain(2 * images - 1))
    torch.testing.assert_close(load_model("plain.pth", model="nets.py:robust")(images), plain(images))
    torch.testing.assert_close(load_model("plain.pth", model="nets.py:transformer")(images), plain(2 * images - 1))
