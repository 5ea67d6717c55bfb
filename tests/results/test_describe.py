from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landscape.results import caveats, describe, is_collapsed, table
from tests.results.made import hessian


def test_a_file_is_told_for_a_person(tmp_path: Path) -> None:
    path = hessian(eps=8 / 255, n_parameters=205_000, m=1).save(tmp_path / "h.h5")
    told = dict(describe(path))
    assert told["result"] == "hessian: top eigenpairs of the Hessian of the mean loss"
    assert told["file"] == str(path)
    assert told["threat model"] == (
        "l-inf ball, eps = 8/255; attack pgd:steps=10,rel_step=0.25,restarts=1; adversary frozen; BatchNorm none"
    )
    assert told["net"].endswith("P = 205,000, from runs/net.pt, trained at eps = 0.1")
    assert told["examples"] == "2,000 of mnist, split train"
    assert told["eigenvectors"] == "(m = 1, P = 205,000) float32, 1: unit eigenvectors of the first m pairs"
    assert told["guard_passed"] == "yes"


def test_everything_that_the_file_holds_is_told() -> None:
    training = {"eps": 0.1, "seed": 0, "lr": 1e-3, "momentum": None, "history": [{}], "final": {"clean_error": 0.02}}
    result = hessian(checkpoint=None, train_eps=None, loss=None, note=[], training=training)
    told = dict(describe(result))
    assert "from unknown, trained at eps = unknown" in told["net"]
    assert told["loss"] == "not computed"
    assert told["note"] == "none"
    assert told["training"] == "eps 0.1, seed 0, lr 0.001, final (clean_error 0.02)"
    assert set(result.arrays) <= set(told)


def test_the_table_has_a_row_per_pair() -> None:
    header, rows = table(hessian(k=3, pair_status=np.array([1, 2, 0])))
    assert header[:3] == ["k", "eigenvalues", "residuals"]
    assert "eigenvectors" not in header
    assert [row[0] for row in rows] == [1, 2, 3]
    assert [row[-1] for row in rows] == ["converged", "at precision limit", "not converged"]
    assert rows[0][1] == 40.0


@pytest.mark.parametrize(
    ("attrs", "collapsed"),
    [
        ({}, None),
        ({"collapsed": None}, None),
        ({"collapsed": True}, True),
        ({"collapsed": False}, False),
        ({"loss": math.log(10), "error_rate": 0.9}, None),  # under attack: a net that has learnt may be there too
        ({"loss": math.log(10), "error_rate": 0.9, "collapsed": False}, False),
    ],
)
def test_whether_a_net_is_a_constant_classifier_is_the_files_to_say(
    attrs: dict[str, Any], collapsed: bool | None
) -> None:
    result = hessian(**attrs)
    assert is_collapsed(result) is collapsed
    assert ("constant classifier" in caveats(result)) is (collapsed is True)


@pytest.mark.parametrize(
    ("attrs", "wanted"),
    [
        ({}, []),
        ({"pair_status": [2] * 20}, []),
        ({"pair_status": [1] * 18 + [0] * 2, "status": "not-converged"}, ["2 of 20 pairs not converged"]),
        ({"status": "not-converged", "guard_passed": False}, ["guard failed: pairs may be missing"]),
        ({"status": "partial"}, ["unfinished"]),
        ({"status": "not-converged"}, ["not converged"]),
        ({"collapsed": True}, ["constant classifier"]),
    ],
)
def test_caveats_say_what_a_reader_must_know(attrs: dict[str, Any], wanted: list[str]) -> None:
    assert caveats(hessian(**attrs)) == wanted
    assert dict(describe(hessian(**attrs)))["status"].endswith("; ".join(wanted))
