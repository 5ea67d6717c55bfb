"""`landscape compare`: its tables, its CSV, its words for what does not compare."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.commands.runner import landscape
from tests.results.made import hessian
from tests.results.made_surface import surface


def spectra(tops: dict[float, list[float]], **attrs: object) -> list[Path]:
    return [
        hessian(
            eps=eps, train_eps=eps, top=top, checkpoint_sha256=f"{eps}/{seed}",
            training={"eps": eps, "seed": seed}, collapsed=top < 1, **attrs,
        ).save(Path("results") / f"n{eps}-{seed}.h5")
        for eps, values in tops.items()
        for seed, top in enumerate(values)
    ]  # fmt: skip


def test_it_tells_means_effects_and_a_verdict() -> None:
    files = spectra({0.0: [20, 22, 21], 0.1: [40, 42, 44], 0.2: [60, 61, 65]})
    done = landscape("compare", *files)
    assert (done.code, done.err) == (0, "")
    said = " ".join(done.out.split())
    assert "largest Hessian eigenvalue, each net at its own eps (nats), by train_eps:" in said
    assert "trend, 0 to 0.2 3 paired +41" in said
    assert "0.1 against 0 3 paired +21" in said
    assert said.count("rises with eps") == 4
    assert f"next: landscape plot {files[0]}" in said


def test_the_csv_holds_nets_groups_and_effects() -> None:
    files = spectra({0.0: [20, 22, 21], 0.1: [40, 42, 0.5, 44]})
    assert landscape("compare", *files, "--out", "c.csv").code == 0
    rows = list(csv.DictReader(Path("c.csv").read_text().splitlines()))
    assert [row["row"] for row in rows] == ["net"] * 3 + ["group"] + ["net"] * 3 + ["group", "effect"]
    group, effect = rows[7], rows[8]
    assert (group["seeds"], group["collapsed"], float(group["value"])) == ("3", "1", 42.0)
    assert effect["name"] == "0.1 against 0"
    # Seed 2 of the second group is a constant classifier: two pairs are too few, and all nets count by themselves.
    assert (effect["paired"], float(effect["value"])) == ("False", 21.0)
    assert float(effect["low"]) < 21 < float(effect["high"])
    again = landscape("compare", *files, "--out", "c.csv")
    assert again.code == 1
    assert "c.csv exists and is kept; give --overwrite" in again.err
    assert landscape("compare", *files, "--out", "c.csv", "--overwrite").code == 0


def test_two_seeds_get_no_verdict_and_are_told_what_to_do() -> None:
    done = landscape("compare", *spectra({0.0: [20, 22], 0.1: [40, 42]}))
    assert done.code == 0
    assert "too few seeds (2)" in done.out
    assert "try: 3 training seeds or more for each group" in done.out
    assert "intervals:" not in done.out


def test_surfaces_compare_at_a_radius() -> None:
    files = [
        surface(train_eps=eps, training={"eps": eps, "seed": seed}, checkpoint_sha256=f"{eps}/{seed}").save(
            f"s{eps}-{seed}.h5"
        )
        for eps in (0.0, 0.1)
        for seed in range(3)
    ]
    done = landscape("compare", *files, "--at", "0.2")
    assert done.code == 0
    assert "mean rise of the loss above the net's at radius 0.2, each net at its own eps" in done.out
    assert "rises with eps" in done.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "Missing argument 'FILE.h5...'"),
        (["results/n0.0-0.h5"], 2, "a comparison needs two files or more"),
        (["results/n0.0-0.h5", "none.h5"], 1, "none.h5 is not there"),
        (["results/n0.0-0.h5", "results/n0.1-0.h5", "--eps", "4"], 2, "did you mean 4/255?"),
        (["results/n0.0-0.h5", "results/n0.1-0.h5", "--quantity", "lambda1"], 2, "did you mean lambda_1"),
    ],
)
def test_mistakes_are_one_sentence(words: list[str], code: int, said: str) -> None:
    spectra({0.0: [20], 0.1: [40]})
    done = landscape("compare", *words)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert done.err.strip().splitlines()[-1].startswith("Error: ")
