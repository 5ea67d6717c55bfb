"""`landscape report`: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from landscape.report import page
from tests.commands.runner import contents, landscape
from tests.results.made import hessian
from tests.results.made_traces import traces


@pytest.fixture
def folder() -> Path:
    """A folder of two results, one of which has a caution, and a file that is none."""
    path = Path("results")
    path.mkdir()
    hessian(guard_passed=False).save(path / "net.h5")
    traces().save(path / "run.h5")
    (path / "note.h5").write_text("no result")
    return path


def test_it_writes_one_page_and_says_what_is_on_it(folder: Path) -> None:
    before = contents(folder)
    done = landscape("report", folder)
    assert done.code == 0
    assert "2 results on one page of " in done.out
    assert "hessian         1          1         0" in done.out
    assert done.out.endswith("wrote report.html\nnext: python -m webbrowser report.html\n")
    assert "left out results/note.h5: is no HDF5 file" in done.err
    assert Path("report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert contents(folder) == before
    assert sorted(path.name for path in Path().iterdir()) == ["report.html", "results"]


def test_its_own_page_is_made_again_and_anything_else_is_kept(folder: Path) -> None:
    assert landscape("report", folder, "-q").out == ""
    assert landscape("report", folder, "-q").code == 0
    Path("report.html").write_text("mine")
    done = landscape("report", folder)
    assert (done.code, done.out) == (1, "")
    assert "report.html exists and is kept; give --overwrite, or another --out" in done.err
    assert landscape("report", folder, "-q", "--overwrite", "--title", "Two nets").code == 0
    assert "<title>Two nets</title>" in Path("report.html").read_text(encoding="utf-8")
    done = landscape("report", folder, "-o", "report.html")
    assert done.code == 1  # a place that was named is never taken for granted


def test_what_cannot_be_shown_is_one_sentence(folder: Path) -> None:
    Path("empty").mkdir()
    for words, said in (
        (["empty"], "empty holds no result (.h5); make one first"),
        (["gone"], "gone is not there; name a folder of results"),
        ([folder / "note.h5"], "holds no result that can be shown; results/note.h5: is no HDF5 file"),
        ([folder, "-o", "results"], "results is a folder; name a file with --out"),
    ):
        done = landscape("report", *words)
        assert (done.code, done.out) == (1, ""), words
        assert said in done.err
        assert "Traceback" not in done.err
    assert landscape("report").code == 2
    assert not Path("report.html").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_target_is_one_sentence(folder: Path) -> None:
    Path("locked").mkdir(mode=0o555)
    done = landscape("report", folder, "-o", "locked/report.html")
    assert done.code == 1
    assert "cannot be written: permission denied" in done.err


def test_a_target_under_a_file_is_one_sentence(folder: Path) -> None:
    Path("file").touch()
    done = landscape("report", folder, "-o", "file/report.html")
    assert done.code == 1
    assert "cannot be written: its folder is a file" in done.err


def test_without_plotly_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page._plotly.cache_clear()  # another test may have asked before
    monkeypatch.setitem(sys.modules, "plotly", None)
    done = landscape("report", folder)
    assert done.code == 1
    assert "pip install 'landscape[report]'" in done.err
    assert not Path("report.html").exists()
