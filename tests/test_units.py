"""Budgets are read exactly and never guessed."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape.errors import UsageError
from landscape.units import check_eps, format_eps, parse_eps, parse_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4/255", 4 / 255),
        (" 8 / 255 ", 8 / 255),
        ("0.1", 0.1),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 1e-3),
        ("-2/4", -0.5),
        ("+3", 3.0),
        ("1.5e1/3E1", 0.5),
    ],
)
def test_decimals_and_quotients_are_numbers(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text", ["", " ", "four", "4/255/2", "4//255", "0x10", "1_000", "nan", "inf", "4 255", "4,5", "--1"]
)
def test_anything_else_is_no_number(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"lr = {text!r} is no number; write a decimal")):
        parse_number(text, name="lr")


@pytest.mark.parametrize("text", ["4/0", "0/0", "1/0.0", "1/0e5"])
def test_a_quotient_by_zero_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="divides by zero"):
        parse_number(text)


@pytest.mark.parametrize("text", ["1e999", "1/1e-320", "1e308/1e-308"])
def test_an_overflow_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not finite"):
        parse_number(text)


@pytest.mark.parametrize("text", ["4", "1", "255", "+8", " 4 "])
def test_a_bare_integer_is_refused_for_linf(text: str) -> None:
    wanted = f"did you mean {text.strip()}/255?"
    with pytest.raises(UsageError, match=re.escape(wanted)):
        parse_eps(text)


def test_no_perturbation_needs_no_unit() -> None:
    assert parse_eps("0") == 0
    assert parse_eps("0/255") == 0


def test_one_is_the_largest_linf_radius() -> None:
    assert parse_eps("1.0") == 1
    assert parse_eps("255/255") == 1
    with pytest.raises(UsageError, match=r"eps = 1\.01 is outside \[0, 1\]"):
        parse_eps("1.01")


def test_an_l2_radius_may_pass_one_and_be_an_integer() -> None:
    assert parse_eps("4", norm="l2") == 4
    assert parse_eps("1.5", norm="l2") == 1.5


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("text", ["-1", "-4/255", "-0.1"])
def test_a_negative_radius_is_refused(text: str, norm: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"eps = {text} is no radius")):
        parse_eps(text, norm=norm)


@pytest.mark.parametrize("eps", [math.nan, math.inf, -math.inf, -1e-9])
def test_a_radius_that_is_no_radius_is_refused(eps: float) -> None:
    with pytest.raises(UsageError, match="is no radius"):
        check_eps(eps, norm="l2")


def test_a_budget_in_levels_of_255_is_recognised_not_converted() -> None:
    with pytest.raises(UsageError, match=r"did you mean 8/255\?"):
        check_eps(8.0)
    with pytest.raises(UsageError, match=r"did you mean 8/255\?"):  # 1000/255 would be refused again
        check_eps(1000.0)


def test_every_message_is_one_line_and_usage() -> None:
    for text in ("4", "-1", "4/0", "pixel", "2.0"):
        with pytest.raises(UsageError) as caught:
            parse_eps(text)
        assert caught.value.exit_code == 2
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("eps", "text"),
    [
        (4 / 255, "4/255"),
        (8 / 255, "8/255"),
        (0.1, "0.1"),
        (0.15, "0.15"),
        (0.0, "0"),
        (1.0, "1"),
        (math.nan, "unknown"),
        (1e308, "1e+308"),
    ],
)
def test_a_budget_is_written_as_people_say_it(eps: float, text: str) -> None:
    assert format_eps(eps) == text


@given(st.integers(0, 255))
def test_levels_survive_a_round_trip(level: int) -> None:
    eps = parse_eps(f"{level}/255")
    assert parse_eps(format_eps(eps) if level < 255 else "1.0") == eps


@given(st.floats(0, 1))
def test_six_digits_survive_a_round_trip(eps: float) -> None:
    assert parse_number(format_eps(eps)) == pytest.approx(eps, rel=1e-5, abs=1e-12)
