"""The generators that an epoch draws from: begun for it, and put down as plain tensors and numbers, there and back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from ..streams import stream_key


@contextlib.contextmanager
def seeded(seed: int, name: str, device: torch.device) -> Iterator[None]:
    """Let torch's generators on the CPU and `device` begin a stream of the run's; put the caller's back afterwards.

    Dropout and its like draw from them.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        begin_stream(seed, name, device)
        yield


def begin_stream(seed: int, name: str, device: torch.device) -> None:
    """Let torch's generators on the CPU and `device` begin a stream; call it within `seeded`."""
    key = stream_key(seed, name)
    torch.default_generator.manual_seed(key)  # torch.manual_seed would reach devices that this run does not use
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(key)


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
