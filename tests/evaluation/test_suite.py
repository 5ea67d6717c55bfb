"""How attacks are named, what the presets set, and what cannot be meant."""

from __future__ import annotations

import pytest

from landscape.attacks import APGD, PGD, L2Ball, LinfBall, Square
from landscape.errors import UsageError
from landscape.evaluation import parse_suite

BALL = LinfBall(0.1)


def test_the_default_is_the_five_columns_of_table_1() -> None:
    suite = parse_suite(None, BALL)
    assert suite.names == ("clean", "pgd100", "apgd-ce", "apgd-dlr", "square") and not suite.cascade
    assert suite.attacks == (
        None,
        PGD(BALL, steps=100, rel_step=0.1),
        APGD(BALL),
        APGD(BALL, loss="dlr"),
        Square(BALL, queries=5000),
    )


@pytest.mark.parametrize(("channels", "step"), [(1, 0.01), (3, 1 / 255)])
def test_the_papers_preset(channels: int, step: float) -> None:
    suite = parse_suite(None, BALL, preset="paper", channels=channels)
    assert suite.attacks[1] == PGD(BALL, steps=100, step=step, start="step", keep="last")
    assert suite.attacks[2:4] == (APGD(BALL, restarts=5), APGD(BALL, loss="dlr", restarts=5))
    assert suite.attacks[4] == Square(BALL, queries=5000, rescale=False)


def test_the_standard_is_autoattacks_and_a_cascade() -> None:
    suite = parse_suite(None, L2Ball(0.5), preset="standard")
    assert suite.names == ("clean", "apgd-ce", "apgd-t", "fab-t", "square") and suite.cascade
    words = "apgd-ce:steps=100,restarts=1,rho=0.75; apgd-t:steps=100,restarts=1,rho=0.75,targets=9; "
    assert str(suite) == words + "fab-t:steps=100,targets=9; square:queries=5000,restarts=1,p=0.8,rescale=False"


def test_settings_go_with_the_attack_before_them() -> None:
    suite = parse_suite("clean, pgd7, apgd-ce:restarts=2,steps=30,square:queries=9,rescale=true", BALL)
    assert suite.names == ("clean", "pgd7", "apgd-ce:restarts=2,steps=30", "square:queries=9,rescale=true")
    assert suite.attacks[1:] == (
        PGD(BALL, steps=7),
        APGD(BALL, steps=30, restarts=2),
        Square(BALL, queries=9, rescale=True),
    )
    assert parse_suite(["clean", "pgd:steps=3,step=1/255,keep=last"], BALL).attacks[1] == PGD(
        BALL, steps=3, step=1 / 255, keep="last"
    )
    assert parse_suite("apgd-ce:restarts=2", BALL, preset="paper").attacks == (APGD(BALL, restarts=2),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clean,apgd-cf", "'apgd-cf' is unknown; did you mean apgd-ce"),
        ("pdg100", "'pdg100' is unknown; did you mean pgd100"),
        ("", "no attack is named; write some of clean"),
        ("clean,pgd5,clean", "clean is asked for twice"),
        ("square:steps=5", "square has no setting 'steps'"),
        ("apgd-ce:restarts=two", "restarts = 'two' in apgd-ce; wanted a whole number"),
        ("apgd-ce:restarts=0", "restarts = 0 in apgd-ce; wanted 1 or more"),
        ("square:rescale=maybe", "wanted true or false"),
        ("pgd:speed=3", "no setting 'speed'"),
    ],
)
def test_says_what_cannot_be_meant(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_suite(text, BALL)


def test_eps_0_leaves_nothing_to_attack() -> None:
    with pytest.raises(UsageError, match="eps = 0 leaves nothing to attack; give --eps"):
        parse_suite(None, LinfBall(0))
    assert parse_suite("clean", LinfBall(0)).attacks == (None,)
    with pytest.raises(UsageError, match="'papers' is unknown; did you mean paper"):
        parse_suite(None, BALL, preset="papers")
