"""One run in several processes, under torchrun: who computes what, the sums, and how all of them stop together."""

from .everywhere import Dismissed, everywhere, led
from .group import ALONE, Group
from .meeting import current, found_group, joined, one_voice
from .wire import Elsewhere, Lost

__all__ = [
    "ALONE",
    "Dismissed",
    "Elsewhere",
    "Group",
    "Lost",
    "current",
    "everywhere",
    "found_group",
    "joined",
    "led",
    "one_voice",
]
