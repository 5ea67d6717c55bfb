"""Pictures of the re-attacked curvature: the artists hold the census, over seeds too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from landscape.commands.kinks_table import show_kinks
from landscape.errors import ResultError
from landscape.plots import draw_census, draw_reattacked, figure_hessian
from landscape.plots.style import new_figure
from landscape.results.kinks import census
from tests.results.made import hessian, with_examples, with_kinks


def lines(ax: Any, gid: str) -> list[Any]:
    return [line for line in ax.lines if line.get_gid() == gid]


def test_the_census_is_what_the_verdicts_and_curvatures_say() -> None:
    told = census(hessian(**with_kinks()))
    np.testing.assert_allclose(told.kinks, 1 / 3)
    np.testing.assert_allclose(told.smooth, 2 / 3)
    np.testing.assert_allclose(told.lattice, [0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(told.down, told.lattice)
    np.testing.assert_allclose(told.of_kinks, 0.5 / told.h / 3)
    np.testing.assert_allclose(told.excess, told.of_kinks + 4 / 3)
    np.testing.assert_allclose(told.frozen, 40)


def test_curvatures_and_shares_are_drawn_as_they_are() -> None:
    result = hessian(**with_kinks())
    told = census(result)
    ax = new_figure().subplots()
    draw_reattacked(ax, [result])
    (moving,), (held,) = lines(ax, "reattacked"), lines(ax, "frozen")
    np.testing.assert_allclose(moving.get_xydata(), np.stack([told.h, told.frozen + told.excess], axis=1))
    np.testing.assert_allclose(held.get_ydata(), told.frozen)
    assert [tick for tick in ax.get_xticks() if tick in told.h] and ax.get_xscale() == "log"
    ax = new_figure().subplots()
    draw_census(ax, [result])
    np.testing.assert_allclose(lines(ax, "kinks")[0].get_ydata(), told.kinks)
    np.testing.assert_allclose(lines(ax, "missed")[0].get_ydata(), told.lattice)
    with pytest.raises(ResultError, match="make some with: landscape hessian CKPT --adversary reattack"):
        draw_census(ax, [hessian()])


def test_seeds_are_thin_lines_under_their_median_and_one_eigenvalue_is_no_spectrum() -> None:
    results = [
        hessian(k=1, m=1, training={"eps": 0.1, "seed": seed}, checkpoint_sha256=f"{seed}", **with_kinks(jump=jump))
        for seed, jump in enumerate((0.1, 0.2, 0.9))
    ]
    figure = figure_hessian(results)
    curvature, shares = figure.axes
    assert len(lines(curvature, "reattacked")) == 3
    told = census(results[1])
    np.testing.assert_allclose(lines(curvature, "median")[0].get_ydata(), told.frozen + told.excess)
    assert len(lines(shares, "median")) == 2
    note = " ".join(text.get_text() for text in figure.texts)
    assert "solver's residual" not in note and "Eigenvalues: adversary frozen" in " ".join(note.split())


def test_panels_stand_beside_the_others() -> None:
    assert len(figure_hessian([hessian(**with_kinks())]).axes) == 3
    everything = figure_hessian([hessian(**with_kinks(), **with_examples())])
    titles = [ax.get_ylabel() for ax in everything.axes]
    assert {"curvature of the mean loss", "share of the examples"} <= set(titles)


def test_the_table_has_a_row_for_each_step_and_direction(capsys: pytest.CaptureFixture[str]) -> None:
    show_kinks(hessian(**with_kinks(directions=2)))
    said = capsys.readouterr().out
    assert "v1, eigenvalue 40" in said and "v2, eigenvalue" in said
    rows = [line.split() for line in said.splitlines() if line.strip().startswith("0.05 ")]
    assert rows[0][:5] == ["0.05", "40", "4.667", "1.1", "3.333"]
    assert rows[0][5:9] == ["33", "%", "67", "%"]
