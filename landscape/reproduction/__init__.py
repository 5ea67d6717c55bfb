"""The paper at one command: settings (paper.toml), a graph of jobs, and Snakemake that orders them."""

from __future__ import annotations

from .graph import Job, Plan
from .settings import Stage, read_profile

__all__ = ["Job", "Plan", "Stage", "read_profile"]
