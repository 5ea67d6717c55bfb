"""`landscape doctor`, as a person types it: a sound net, one that is not, and one that is none."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.commands.runner import landscape

NETS = """
import torch
from torch import nn

def bright():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 10))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for value in net.parameters():
            nn.init.normal_(value)
    return net

def several():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = bright()
        def forward(self, x):
            return self.net(x), x
    return Two()

def likely():
    return nn.Sequential(*bright(), nn.Softmax(1))

def noisy():
    class Noisy(nn.Sequential):
        def forward(self, x):
            return super().forward(nn.functional.dropout(x, 0.5))
    return Noisy(*bright())
"""


def test_a_net_of_ours_passes_and_the_next_command_is_said(trained: Path) -> None:
    done = landscape("doctor", trained, "--n-examples", "100")
    assert done.code == 0, done.out
    assert "own claim           OK    clean test error" in done.out
    assert "PASS" in done.out and done.out.rstrip().endswith(f"next: landscape hessian {trained}")
    assert landscape("doctor", trained, "--n-examples", "20", "-q").out == ""


def test_what_is_wrong_is_said_with_what_to_do() -> None:
    Path("nets.py").write_text(NETS)
    scope: dict[str, object] = {}
    exec(NETS, scope)
    torch.save(scope["bright"]().state_dict(), "bright.pt")  # type: ignore[operator]
    guess = landscape("doctor", "bright.pt", "--model", "nets.py:bright", "--data", "digits", "--n-examples", "60")
    assert "no better than guessing" in guess.out
    assert "attack              look  eps is not known" in guess.out and "attack, look: give --eps" in guess.out
    likely = landscape("doctor", "bright.pt", "--model", "nets.py:likely", "--data", "digits", "--n-examples", "60")
    assert likely.code == 1 and "outputs, stop: leave out the last softmax" in likely.out
    assert likely.out.rstrip().endswith("FAIL: mend what says stop before hours are spent")
    noisy = landscape("doctor", "bright.pt", "--model", "nets.py:noisy", "--data", "digits")
    assert noisy.code == 1 and "determinism" in noisy.out and "F.dropout" in noisy.out
    assert noisy.out.rstrip().endswith("FAIL: mend what says stop before hours are spent")


def test_a_net_of_several_outputs_is_told_in_one_sentence() -> None:
    Path("nets.py").write_text(NETS)
    scope: dict[str, object] = {}
    exec(NETS, scope)
    torch.save(scope["several"]().state_dict(), "several.pt")  # type: ignore[operator]
    done = landscape("doctor", "several.pt", "--model", "nets.py:several", "--data", "digits")
    assert done.code == 1 and "forward pass  stop  the net gives a tuple for one image" in done.out
