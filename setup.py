"""Metadata of the package; tool settings are in pyproject.toml, the exact versions that CI runs in constraints.txt."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
INIT = (HERE / "landscape" / "__init__.py").read_text(encoding="utf-8")
VERSION = re.search(r'^__version__ = "([^"]+)"$', INIT, re.MULTILINE)
URLS = {"Paper": "https://arxiv.org/abs/2006.08403"}  # and "Repository", once there is a public one: docs/releasing.md

# These folders lie at the top of a checkout, beside landscape/; generic top-level names would collide with other
# people's folders, so they install inside the package.
INNER = {f"landscape.{folder}": folder for folder in ("analyses", "figures", "checkpoints")}

# Lower bounds: the oldest releases that the tests were run with; for torch, the oldest that is meant to work.
RUN = [
    "torch>=2.10,<3",
    "numpy>=2.0,<3",
    "scipy>=1.14,<2",
    "h5py>=3.12.1,<4",
    "matplotlib>=3.9,<4",
    "click>=8.2,<9",
    "rich>=13.9.1,<16",
    "pooch>=1.8,<2",
    "psutil>=6.0,<8",
    "safetensors>=0.5,<1",
    "pyautoattack>=0.2,<0.3",  # the reference's attacks, MIT; needs nothing else
    "pyhessian==0.1",  # the one release there is; its results are checked before they are returned
]
REPORT = ["plotly>=7.1,<8"]  # its plotly.js goes into the page; it brings narwhals and packaging, and no torch
TEST = [
    "pytest>=9,<10",
    "pytest-xdist>=3.8,<4",
    "hypothesis>=6.130,<7",
    "xarray>=2025.1",
    "h5netcdf>=1.5,<2",
    "setuptools>=77.0.3",
    *REPORT,
    "playwright>=1.60,<2",  # drives the machine's chromium; it fetches no browser by itself
]
REPRODUCE = ["snakemake>=9.9,<10"]  # the local executor comes with it; snakemake-executor-plugin-slurm is one more
DOCS = ["sphinx>=9.0,<10", "myst-parser>=5,<6", "furo>=2025.12"]
DEV = [*TEST, "ruff>=0.17,<0.18", "mypy>=2.4,<3"]

if VERSION is None:
    raise SystemExit('landscape/__init__.py states no version; wanted a line __version__ = "X.Y.Z"')


def description() -> str:
    """Return the README for an index of packages, where links inside the repository lead nowhere.

    They are made whole where there is a repository to lead to; else they become words, and the pictures are left out.
    """
    text = (HERE / "README.md").read_text(encoding="utf-8")
    link = r"(!?)\[([^\]]*)\]\((?!https?:)([^)]*)\)"
    if "Repository" in URLS:
        places = {"!": "raw", "": "blob"}
        return re.sub(link, lambda m: f"{m[1]}[{m[2]}]({URLS['Repository']}/{places[m[1]]}/v{VERSION[1]}/{m[3]})", text)
    paragraphs = [part for part in text.split("\n\n") if not part.startswith(("!", "| | |", "*"))]
    return re.sub(link, r"\2", "\n\n".join(paragraphs))


setup(
    name="landscape",
    version=VERSION[1],
    description="The loss landscape of robust networks, measured with its evidence",
    long_description=description(),
    long_description_content_type="text/markdown",
    author="The Landscape authors",
    project_urls=URLS,
    keywords="adversarial training, loss landscape, Hessian, robustness, mode connectivity",
    license_expression="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=[*find_packages(include=["landscape", "landscape.*"]), *INNER],
    package_dir=INNER,
    package_data={
        "landscape": ["py.typed", "data/*.npz", "data/*.md", "report/page/*"],
        "landscape.figures": ["*.toml", "Snakefile", "slurm/*.yaml"],
        "landscape.checkpoints": ["**/*.pt", "*.md"],
    },
    install_requires=RUN,
    extras_require={"test": TEST, "dev": DEV, "docs": DOCS, "report": REPORT, "reproduce": REPRODUCE},
    entry_points={"console_scripts": ["landscape = landscape.cli:main"]},
    zip_safe=False,
)
