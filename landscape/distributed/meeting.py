"""How the processes of a run find one another, see that they are alike, and part."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from .. import __version__
from ..errors import LandscapeError
from .bond import Bond
from .group import ALONE, Group
from .wire import Elsewhere, Lost, reason

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")  # as torchrun sets them
_FINDING = timedelta(minutes=5)
# The others wait while the first process judges a net; one that dies is noticed at once, whatever the limit.
_PATIENCE = timedelta(days=1)
_ECHO = 3.0  # seconds in which the first process comes by an error that all make
_START = "start them with torchrun --nproc-per-node N -m landscape ..."

_joined: list[Group] = []


def current() -> Group:
    """Return the group that this process has joined; ALONE before, and without one."""
    return _joined[-1] if _joined else ALONE


def found_group() -> Group:
    """Return the group that torchrun's environment tells of; ALONE without one."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return ALONE
    words = [os.environ.get(name, "0") for name in _VARIABLES]
    told = ", ".join(f"{name}={word}" for name, word in zip(_VARIABLES, words, strict=True))
    if not all(word.isdecimal() for word in words) or not int(words[0]) < int(words[1]):
        raise LandscapeError(
            f"the environment tells of no group of processes ({told}); {_START}, or unset RANK and WORLD_SIZE"
        )
    rank, world, local, local_world = map(int, words)
    return Group(rank, world, local, local_world) if world > 1 else ALONE


@contextlib.contextmanager
def one_voice(group: Group) -> Iterator[None]:
    """Let the first process tell what happened to all; what happened to another one alone has its name."""
    try:
        yield
    except (KeyboardInterrupt, Elsewhere) as error:
        if group.leads:
            raise
        raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else error.exit_code) from error
    except LandscapeError as error:
        if group.leads:
            raise
        raise LandscapeError(f"{group.name}: {error}") from error


@contextlib.contextmanager
def joined(group: Group) -> Iterator[Group]:
    """Hold the processes of a group together: gloo for what lies on the CPU, NCCL for CUDA devices."""
    if group.world == 1:
        yield group
        return
    bond = None
    try:
        store, _, _ = next(rendezvous("env://", group.rank, group.world, timeout=_FINDING))
        bond = Bond(store, group.rank, group.world)
        words = bond.told("alike", json.dumps(_versions()), _FINDING)
    except (RuntimeError, ValueError) as error:
        if bond is not None:
            bond.leave()
        raise LandscapeError(f"the {group.world} processes did not find one another ({_trouble(error)})") from error
    group = replace(group, link=bond)
    try:
        backend = "cpu:gloo,cuda:nccl" if _compare(group, [json.loads(word) for word in words]) else "gloo"
        try:
            dist.init_process_group(backend, store=store, rank=group.rank, world_size=group.world, timeout=_PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise LandscapeError(f"the {group.world} processes cannot speak ({reason(error)}); {_START}") from error
        _joined.append(group)
        try:
            yield group
        except KeyboardInterrupt as interruption:
            # Whoever started the processes stops all of them where one dies.
            if group.leads and (gone := bond.gone()):
                left = str(interruption).partition("; ")[2] or "what was saved is kept"
                raise Lost(f"{bond.named(gone)} is gone; {left}") from interruption
            raise
        except LandscapeError as error:
            # What is wrong everywhere, the first process says; and it says why it has left the others.
            if not group.leads and bond.has_left(0, within=0.0 if isinstance(error, Lost) else _ECHO):
                raise Elsewhere(str(error)) from error
            raise
        finally:
            bond.leave()  # before the others find their connection closed
            dist.destroy_process_group()
            _joined.pop()
    finally:
        bond.leave()


def _compare(group: Group, told: list[dict[str, str]]) -> bool:
    """Return whether all processes see CUDA devices; raise LandscapeError where they are of different versions."""
    own = told[0]
    for rank, theirs in enumerate(told):
        for name in ("landscape", "torch", "landscape's source"):
            if theirs[name] != own[name]:
                raise group.apart(rank, name, theirs[name], own[name])
    return all(word["cuda"] == "True" for word in told)


def _versions() -> dict[str, str]:
    return {
        "landscape": __version__,
        "torch": torch.__version__,
        "landscape's source": _source_sha256(),
        "cuda": str(torch.cuda.is_available()),
    }


@cache
def _source_sha256() -> str:
    """Return the hash of this package's own files: a checkout may differ under one version."""
    root = Path(__file__).resolve().parents[1]
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        whole.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def _trouble(error: BaseException) -> str:
    words = str(error)
    if "EADDRINUSE" in words or "address already in use" in words.lower():
        port = os.environ.get("MASTER_PORT", "?")
        return f"port {port} is in use; give another one: export MASTER_PORT=29501, or torchrun --master-port 29501"
    return f"{reason(error)}; {_START}"
