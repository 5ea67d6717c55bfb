"""What a pickle calls for, read off its opcodes before anything loads it: names, calls, and keys that never end."""

from __future__ import annotations

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from dataclasses import dataclass, field
from typing import BinaryIO

# A tuple of tuples of tuples, each level twice the one before, takes no room and 2^40 steps to hash.
_MOST_NESTED = 100_000
_TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
_GETS = ("GET", "BINGET", "LONG_BINGET")
_CALLS = ("REDUCE", "NEWOBJ", "NEWOBJ_EX")
_UNNAMED = "an unnamed function"


@dataclass(frozen=True)
class _Value:
    """A value on the stack, as far as it matters: the tuples in it, each counted as often as met, and its name."""

    weight: int = 1
    name: str | None = None


_MARK = _Value(0, "(")


@dataclass
class Scan:
    """The globals that a pickle names, and those of them that it calls."""

    named: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)


def scan_pickle(file: BinaryIO, into: Scan | None = None) -> Scan:
    """Return what one pickle, from where `file` stands, names and calls; nothing is imported, made or called.

    Raises ValueError for what is no pickle, or holds a tuple whose hash would take for ever.
    """
    found = Scan() if into is None else into
    stack: list[_Value] = []
    memo: dict[int, _Value] = {}
    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        if name in _PUTS or name == "MEMOIZE":
            memo[len(memo) if name == "MEMOIZE" else int(argument or 0)] = stack[-1]
            continue
        if name in _GETS:
            if int(argument or 0) not in memo:
                raise ValueError("a value is fetched that was never put")
            stack.append(memo[int(argument or 0)])
            continue
        if name == "DUP":
            stack.append(stack[-1])
            continue
        taken = _take(stack, opcode)
        if name in _CALLS:
            found.called.add(taken[0].name or _UNNAMED)
        elif name in ("INST", "OBJ", "STACK_GLOBAL") or name.startswith("EXT"):
            found.called.add(_today(str(argument)) if name == "INST" else _UNNAMED)
        if name == "GLOBAL":
            full = _today(str(argument))
            found.named.add(full)
            stack.append(_Value(1, full))
        elif name in _TUPLES:
            weight = 1 + sum(value.weight for value in taken)
            if weight > _MOST_NESTED:
                raise ValueError("tuples are nested without end")
            stack.append(_Value(weight))
        elif name == "MARK":
            stack.append(_MARK)
        else:
            stack += [_Value()] * len(opcode.stack_after)
    return found


def _today(argument: str) -> str:
    """Return "module name" as module.name, Python 2's names (which protocol 2 writes) as those of today."""
    module, _, name = argument.partition(" ")
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"


def _take(stack: list[_Value], opcode: pickletools.OpcodeInfo) -> list[_Value]:
    """Take off the stack what an opcode takes, and return it without the mark; raise ValueError where it is short."""
    before = opcode.stack_before
    taken: list[_Value] = []
    if pickletools.markobject in before:
        while stack and stack[-1] is not _MARK:
            taken.append(stack.pop())
        if not stack:
            raise ValueError("a mark is missing")
        stack.pop()
        before = before[: before.index(pickletools.markobject)]
    if len(stack) < len(before):
        raise ValueError("the stack is empty")
    taken += [stack.pop() for _ in before]
    return taken[::-1]
