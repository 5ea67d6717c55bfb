"""Messages are lines, whatever they quote: finds of the fuzzer."""

from __future__ import annotations

from landscape.errors import DataError, LandscapeError


def test_a_message_is_a_line_of_bounded_length() -> None:
    long = str(LandscapeError("x.h5 is " + "a" * 5_000 + "; make it again"))
    assert len(long) < 1_000 and long.startswith("x.h5 is a") and long.endswith("a; make it again")
    assert str(DataError("d.npz holds \x01mages\u202e\nlabels")) == r"d.npz holds \x01mages\u202e\nlabels"
    assert str(LandscapeError("eps = 4 is outside [0, 1]; did you mean 4/255?")).endswith("4/255?")
