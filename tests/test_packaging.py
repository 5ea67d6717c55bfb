"""What ships: the wheel holds the whole package and nothing else, works away from the checkout, and versions agree."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import landscape

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("landscape", "analyses", "figures", "checkpoints")
LEFT_OUT = {".gitignore", "make.sh"}  # what only a checkout needs
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources, so that no build/ of an older run is mixed in."""
    source = tmp_path_factory.mktemp("source")
    for folder in SHIPPED:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, source / file)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(source / "dist"), str(source)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    expected = {
        (path.relative_to(ROOT) if folder == "landscape" else Path("landscape") / path.relative_to(ROOT)).as_posix()
        for folder in SHIPPED
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name not in LEFT_OUT
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected
    assert "landscape/data/digits.npz" in held
    assert "landscape/analyses/hessian.py" in held
    assert any(name.startswith("landscape/checkpoints/digits/") for name in held)


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 5_000_000


def test_the_wheel_states_what_it_needs(metadata: Message) -> None:
    assert metadata["Version"] == landscape.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    needs = metadata.get_all("Requires-Dist", [])
    torch = next(need for need in needs if need.startswith("torch"))
    assert set(torch.removeprefix("torch").split(",")) == {">=2.10", "<3"}, (
        "a range, so that the user's own torch stays"
    )
    assert {"test", "dev"} <= set(metadata.get_all("Provides-Extra", []))


def test_the_wheel_names_its_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "landscape = landscape.cli:main" in archive.read(name).decode()


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import json, landscape, landscape.analyses, landscape.figures\n"
        "model = landscape.load_model('digits/eps0.1')\n"
        "size = sum(p.numel() for p in model.parameters())\n"
        "from landscape.reproduction.settings import read_profile, shipped\n"
        "stages = [stage.name for stage in read_profile(shipped(), 'digits').stages]\n"
        "print(json.dumps([landscape.__file__, landscape.analyses.__file__, size, str(shipped()), stages]))\n"
    )
    # PYTHONPATH comes before the checkout that an editable install puts on the path.
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    package, analyses, size, settings, stages = json.loads(done.stdout)
    assert Path(package) == tmp_path / "site" / "landscape" / "__init__.py"
    assert Path(analyses) == tmp_path / "site" / "landscape" / "analyses" / "__init__.py"
    assert size > 0
    assert Path(settings) == tmp_path / "site" / "landscape" / "figures" / "paper.toml"
    assert Path(settings).with_name("Snakefile").is_file() and "fig2" in stages


@pytest.mark.parametrize(
    ("file", "pattern"),
    [("CITATION.cff", r"^version: (\S+)$"), ("CHANGELOG.md", r"^## (\S+)")],
)
def test_every_statement_of_the_version_agrees(file: str, pattern: str) -> None:
    found = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    assert found[1] == landscape.__version__


def test_constraints_hold_what_setup_asks_for(metadata: Message) -> None:
    """Every dependency, extras included, is pinned once, torch first and without a local label such as +cpu."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pins = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower(): line.partition("==")[2] for line in lines}
    assert lines[0] == "torch==2.13.0"
    assert len(pins) == len(lines)
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pins.values())
    needs = [re.match(r"[\w.-]+", need) for need in metadata.get_all("Requires-Dist", [])]
    names = {re.sub(r"[-_.]+", "-", need[0]).lower() for need in needs if need}
    assert names <= set(pins)
