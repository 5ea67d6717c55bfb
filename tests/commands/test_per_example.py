"""`landscape hessian --per-example`: what it keeps, what it says, and what of it cannot be meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from landscape.commands.examples_table import show_examples
from landscape.results import read_result
from tests.commands.runner import SMALL, contents, landscape
from tests.results.made import hessian, with_examples


def test_terms_are_kept_told_drawn_and_found_again(tiny: Path) -> None:
    words = ["hessian", tiny, *SMALL, "--per-example", "2", "--out", "e.h5"]
    done = landscape(*words)
    assert done.code == 0, done.err
    result = read_result("e.h5")
    terms = result.arrays["examples/curvature"]
    assert terms.shape == (2, 64) and result.attrs["settings"]["per_example"] == 2
    order = np.argsort(-terms[0], kind="stable")
    rows = done.out.splitlines()
    begin = next(i for i, row in enumerate(rows) if row.startswith("the examples that add most to λ_1"))
    told = [row.split() for row in rows[begin + 4 : begin + 14]]
    assert [int(row[0]) for row in told] == result.arrays["examples/index"][order[:10]].tolist()
    assert told[0][-2:] == [f"{100 * terms[0].max() / terms[0].sum():.1f}", "%"]
    assert any("what the sharpest of these 64 examples carry" in row for row in rows)
    again = landscape(*words)
    assert again.out == done.out.replace("wrote", "found") and again.code == 0
    assert landscape(*words, "-q").out == ""
    assert landscape("plot", "e.h5").code == 0
    assert "examples/margin" in landscape("info", "e.h5").out


def test_without_it_the_file_and_its_name_are_as_before(tiny: Path) -> None:
    few = ["hessian", tiny, "--top", "1", "--n-examples", "16"]
    assert landscape(*few).code == landscape(*few, "--per-example", "1").code == 0
    names = sorted(Path("results").iterdir())
    assert len(names) == 2
    held = [read_result(name) for name in names]
    assert sorted("per_example" in result.attrs["settings"] for result in held) == [False, True]


def test_every_layer_keeps_its_own(tiny: Path) -> None:
    done = landscape("hessian", tiny, "--n-examples", "16", "--top", "2", "--per-layer", "--per-example", "1", "-q")
    assert done.code == 0, done.err
    held = [read_result(path) for path in Path("results").iterdir()]
    assert len(held) > 2
    for result in held:
        mean = result.arrays["examples/curvature"].mean(1)
        assert abs(mean[0] - result.eigenvalues[0]) <= result.residuals[0] + 1e-5 * abs(mean[0])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--per-example", "0"), "0 is not in the range x>=1"),
        (("--per-example", "4", "--top", "3"), "--per-example 4 is more than the 3 eigenpairs of --top"),
        (("--per-example", "21"), "--per-example 21 is more than the 20 eigenpairs"),
        (("--per-example", "3", "--top", "2", "--per-layer"), "--per-example 3 is more than the 2 eigenpairs"),
        (("--per-example", "many"), "'many' is not a valid integer"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_written(tiny: Path, words: tuple[str, ...], says: str) -> None:
    before = contents(Path())
    done = landscape("hessian", tiny, *words)
    assert done.code == 2 and says in done.err and contents(Path()) == before


def test_a_table_of_made_up_terms(capsys: pytest.CaptureFixture[str]) -> None:
    show_examples(hessian(**with_examples(n=1000), weight_decay=5e-4))
    out = capsys.readouterr().out
    assert "each term holds 0.0005 of the weight decay" in out
    show_examples(hessian(**with_examples(scores=False)))
    bare = capsys.readouterr().out
    assert "most between" in out and "most between" not in bare
    flat = {**with_examples(), "examples/curvature": np.zeros((3, 200))}
    show_examples(hessian(**flat))
    assert "nan" not in capsys.readouterr().out
