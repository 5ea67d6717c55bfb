from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.plots import style
from landscape.plots.collapse import draw_collapse
from landscape.results.collapse import Collapse


def test_cells_say_how_many_of_their_runs_collapsed_and_the_line_is_the_frontier() -> None:
    """Widths 1 and 2 at eps 0, 0.1, 0.3: half collapse at 0.05 and never; the columns stand at 0, 1, 2."""
    cells = np.array([[[0, 0], [1, 1], [1, 1]], [[0, 0], [math.nan, math.nan], [0, 0]]], dtype=float)
    with style.paper_style():
        ax = style.new_figure().subplots()
        draw_collapse(ax, Collapse((1, 2), (0.0, 0.1, 0.3), (0, 1), cells))
    assert [text.get_text() for text in ax.texts] == ["0/2", "2/2", "2/2", "0/2", "–", "0/2"]
    lines = {line.get_label(): line for line in ax.get_lines() if line.get_label() in ("_frontier", "_step")}
    assert list(lines["_frontier"].get_xdata()) == pytest.approx([0.5, 0.5])
    assert list(lines["_frontier"].get_ydata()) == [-0.5, 0.5]
    assert list(lines["_step"].get_xdata()) == pytest.approx([0.5, 2.5])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.1", "0.3"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2"]
