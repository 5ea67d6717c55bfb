"""Borrowed nets come back: modes after an error too, weights and precision as they were."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from landscape.borrow import detached, evaluating, full_precision, in_mode, with_weights
from tests.problems import Tied, assert_untouched, examples, resnet, state_of


def test_every_submodule_gets_its_own_mode_back() -> None:
    net = resnet().train()
    net.layer2.eval()
    before = state_of(net)
    with pytest.raises(KeyError), evaluating(net):
        assert not any(module.training for module in net.modules())
        raise KeyError
    assert_untouched(net, before)
    with pytest.raises(KeyError), in_mode(net, training=True):
        assert all(module.training for module in net.modules())
        raise KeyError
    assert_untouched(net, before)


def test_a_net_at_other_weights() -> None:
    net, (images, _) = Tied().double(), examples(4, (6,))
    before = state_of(net)
    zeros = {name: torch.zeros_like(value) for name, value in net.named_parameters()}
    assert torch.equal(with_weights(net, zeros)(images), torch.zeros(4, 3))
    # Parameters that are not named keep the net's own values.
    half = with_weights(net, {"head.bias": torch.zeros(3, dtype=torch.float64)})(images)
    assert torch.allclose(half, net(images) - net.head.bias)
    assert_untouched(net, before)


def test_a_tied_weight_is_replaced_in_both_places() -> None:
    net, (images, _) = Tied().double(), examples(4, (6,))
    other = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    borrowed = with_weights(net, {"first.weight": other})(images)
    net.first.weight.data = other
    net.second.weight = net.first.weight
    assert torch.equal(borrowed, net(images))


def test_no_gradient_flows_to_a_detached_net() -> None:
    net = nn.Linear(3, 2)
    x = torch.ones(1, 3, requires_grad=True)
    detached(net)(x).sum().backward()
    assert x.grad is not None and net.weight.grad is None


def test_full_precision_is_lent_too() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("medium")
    try:
        with full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32 and torch.backends.cudnn.deterministic
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.cudnn.allow_tf32 == before[1]
    finally:
        torch.set_float32_matmul_precision(before[0])


def precision_settings() -> dict[str, object]:
    """Return every switch of float32 precision that torch has, the newer ones by operation; None: not to be read."""
    backends = torch.backends
    switches = {
        "generic": backends,
        "cuda.matmul": backends.cuda.matmul,
        "cudnn": backends.cudnn,
        "cudnn.conv": backends.cudnn.conv,
        "cudnn.rnn": backends.cudnn.rnn,
        "mkldnn": backends.mkldnn,
        "mkldnn.matmul": backends.mkldnn.matmul,
        "mkldnn.conv": backends.mkldnn.conv,
        "mkldnn.rnn": backends.mkldnn.rnn,
    }
    found: dict[str, object] = {name: switch.fp32_precision for name, switch in switches.items()}
    for name, read in (("older matmul", torch.get_float32_matmul_precision), ("older conv", _allow_tf32)):
        try:
            found[name] = read()
        except RuntimeError:
            found[name] = None
    return found


def _allow_tf32() -> bool:
    return torch.backends.cudnn.allow_tf32


# Each turns float32 arithmetic down in one of torch's ways; the settings are the process's, so each has its own.
TURNED_DOWN = [
    "pass",
    "torch.set_float32_matmul_precision('high')",
    "torch.set_float32_matmul_precision('medium')",
    "torch.backends.cuda.matmul.allow_tf32 = True",
    "torch.backends.cudnn.allow_tf32 = False",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "torch.backends.mkldnn.conv.fp32_precision = 'bf16'",
    "torch.backends.mkldnn.fp32_precision = 'bf16'",
    "torch.backends.fp32_precision = 'tf32'",
    "torch.backends.fp32_precision = 'tf32'; torch.backends.cuda.matmul.fp32_precision = 'ieee'",
]


def test_no_switch_of_float32_precision_is_left_on_or_changed() -> None:
    """All in one child process, each setting undone by the next one's beginning."""
    code = (
        "import json, torch\n"
        "from landscape.borrow import _operations, full_precision\n"
        "from tests.test_borrow import TURNED_DOWN, precision_settings\n"
        "wrong = []\n"
        "for setting in TURNED_DOWN:\n"
        "    torch.backends.fp32_precision = torch.backends.mkldnn.fp32_precision = 'none'\n"
        "    torch.set_float32_matmul_precision('highest')\n"
        "    torch.backends.cudnn.allow_tf32 = True\n"
        "    for operation in _operations():\n"
        "        operation.fp32_precision = 'none'\n"
        "    torch.backends.cudnn.conv.fp32_precision = torch.backends.cudnn.rnn.fp32_precision = 'tf32'\n"
        "    exec(setting)\n"
        "    before = precision_settings()\n"
        "    with full_precision(), full_precision():\n"
        "        inside = precision_settings()\n"
        "        torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32\n"
        "    low = [name for name in inside if '.' in name and inside[name] != 'ieee']\n"
        "    if low or precision_settings() != before:\n"
        "        wrong.append([setting, low, before, precision_settings()])\n"
        "print(json.dumps(wrong))\n"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
