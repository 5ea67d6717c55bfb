"""The generators that the midst of an epoch draws from, as plain tensors and numbers, there and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def generator_state(flips: np.random.Generator, device: torch.device) -> dict[str, Any]:
    """Return the states of the augmentation's stream (Philox) and of torch's generators on the CPU and `device`."""
    philox = flips.bit_generator.state
    return {
        "counter": [int(word) for word in philox["state"]["counter"]],
        "key": [int(word) for word in philox["state"]["key"]],
        "buffer": [int(word) for word in philox["buffer"]],
        **{name: int(philox[name]) for name in ("buffer_pos", "has_uint32", "uinteger")},
        "cpu": torch.default_generator.get_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def set_generator_state(state: Mapping[str, Any], flips: np.random.Generator, device: torch.device) -> None:
    """Put the generators back where `generator_state` found them; a CUDA state means nothing to another device."""
    words = {name: np.array(state[name], dtype=np.uint64) for name in ("counter", "key", "buffer")}
    flips.bit_generator.state = {
        "bit_generator": "Philox",
        "state": {"counter": words["counter"], "key": words["key"]},
        "buffer": words["buffer"],
        **{name: state[name] for name in ("buffer_pos", "has_uint32", "uinteger")},
    }
    torch.default_generator.set_state(state["cpu"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
