"""The pages that follow from the code are those that the code makes now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
_spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
assert _spec is not None and _spec.loader is not None
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


@pytest.mark.parametrize("columns", ["40", "200"])
@pytest.mark.parametrize("page", generate.PAGES)
def test_the_page_is_what_the_code_makes(page: str, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)  # of the terminal, which has no say
    assert (DOCS / page).read_text(encoding="utf-8") == generate.PAGES[page](), "type: python docs/generate.py"
