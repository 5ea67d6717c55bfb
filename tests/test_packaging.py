"""What ships: the sdist is the checkout, the wheel made from it the whole package, which works elsewhere."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import landscape

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("landscape", "analyses", "figures", "checkpoints")
LEFT_OUT = {".gitignore", "make.sh"}  # what only a checkout needs
FOLDERS = (*SHIPPED, "benchmarks", "docs", "tests", ".ci", ".github")
FILES = (
    ".gitignore", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "Makefile", "README.md",
    "constraints.txt", "pyproject.toml", "setup.py",
)  # fmt: skip
WORKFLOWS = ROOT / ".github" / "workflows"


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command and return what it says; one that fails fails the test with its own words."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist from a copy of the sources, so that nothing of an older build is mixed in."""
    source = tmp_path_factory.mktemp("source")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, source / file)
    built = tmp_path_factory.mktemp("dist")
    hook = (
        "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"  # what a front end calls
    )
    run(sys.executable, "-c", hook, built, cwd=source)
    (archive,) = built.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the sdist, as a release does."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, sdist, cwd=folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel in an empty environment, lent the packages that it needs, and return its folder of programs."""
    folder = tmp_path_factory.mktemp("empty")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", "--quiet"]
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel, cwd=folder)
    # The path alone: an editable install that lies there too is found by a .pth of its own, which is not read.
    packages = {str(Path(find_spec(name).origin).parents[1]) for name in ("torch", "click", "h5py")}  # type: ignore
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "lent.pth").write_text("\n".join(packages), encoding="utf-8")
    return folder / "bin"


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
    assert {"test", "dev", "docs", "report", "reproduce"} <= set(metadata.get_all("Provides-Extra", []))


def test_the_wheel_names_its_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "landscape = landscape.cli:main" in archive.read(name).decode()


def test_the_sdist_holds_the_checkout(sdist: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } | set(FILES)
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames() if not archive.getmember(name).isdir()}
    made = {name for name in held if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert held - made == expected
    assert sdist.name == f"landscape-{landscape.__version__}.tar.gz"
    assert sdist.stat().st_size < 12_000_000


def test_the_installed_wheel_helps_and_measures_away_from_the_checkout(empty: Path, tmp_path: Path) -> None:
    for command in ([empty / "landscape"], [empty / "python", "-m", "landscape"]):
        assert "Begin with: landscape demo" in run(*command, "--help", cwd=tmp_path)
    words = ["hessian", "digits/eps0.1", "--top", "2", "--n-examples", "64", "--out", "h.h5"]
    assert "wrote h.h5" in run(empty / "landscape", *words, cwd=tmp_path)
    code = (
        "import json, landscape, landscape.analyses\n"
        "from landscape.reproduction.settings import read_profile, shipped\n"
        "stages = [stage.name for stage in read_profile(shipped(), 'digits').stages]\n"
        "values = landscape.load('h.h5').eigenvalues.tolist()\n"
        "print(json.dumps([landscape.__file__, landscape.analyses.__file__, str(shipped()), stages, values]))\n"
    )
    package, analyses, settings, stages, values = json.loads(run(empty / "python", "-c", code, cwd=tmp_path))
    inside = Path(package).parent
    assert empty.parent in inside.parents
    assert Path(analyses) == inside / "analyses" / "__init__.py"
    assert Path(settings) == inside / "figures" / "paper.toml"
    assert Path(settings).with_name("Snakefile").is_file() and "fig2" in stages
    assert len(values) == 2 and values[0] > values[1] > 0


def test_the_page_of_an_index_can_be_read_there(metadata: Message) -> None:
    """Links inside the repository lead nowhere on an index of packages, and neither do its pictures."""
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    text = metadata.get_payload()
    assert isinstance(text, str) and text.lstrip().startswith("# Landscape")
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert [link for link in links if not link.startswith("https://")] == []
    assert metadata["License-Expression"] == "MIT" and metadata["Summary"] and metadata["Keywords"]
    assert all("https://" in url for url in metadata.get_all("Project-URL", ["none"]))
    pythons = {line.rpartition(" ")[2] for line in metadata.get_all("Classifier", []) if "Python :: 3." in line}
    assert pythons == {"3.11", "3.12", "3.13"}


def test_once_there_is_a_repository_its_links_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("setuptools.setup", lambda **settings: given.update(settings))
    monkeypatch.chdir(ROOT)
    source = (ROOT / "setup.py").read_text(encoding="utf-8")
    there = source.replace("URLS = {", 'URLS = {"Repository": "https://example.org/landscape", ')
    exec(compile(there, "setup.py", "exec"), {"__file__": str(ROOT / "setup.py"), "__name__": "setup"})
    tag = f"v{landscape.__version__}"
    assert f"(https://example.org/landscape/blob/{tag}/docs/method.md)" in given["long_description"]
    assert f"(https://example.org/landscape/raw/{tag}/docs/fig3_surfaces_mnist.png)" in given["long_description"]


def test_the_workflows_run_what_ci_runs() -> None:
    yaml = pytest.importorskip("yaml", reason="workflows are read by PyYAML, which the extra docs brings")
    test, release = (yaml.safe_load((WORKFLOWS / name).read_text("utf-8")) for name in ("test.yml", "release.yml"))
    job = test["jobs"]["test"]
    assert {"bash .ci/run", "make docs"} <= {step.get("run") for step in job["steps"]}
    assert {"3.11", "3.13"} <= set(job["strategy"]["matrix"]["python"])
    assert release[True]["push"]["tags"] == ["v*"]  # YAML 1.1 takes "on" for true
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    for workflow in (test, release):
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert job["runs-on"] and all(("uses" in step) != ("run" in step) for step in job["steps"])


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
