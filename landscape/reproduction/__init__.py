"""The paper at one command: settings (paper.toml), a graph of jobs, and Snakemake that orders them."""

from __future__ import annotations

from .graph import Job, Plan
from .settings import PAPER, Stage, read_profile

__all__ = ["PAPER", "Job", "Plan", "Stage", "read_profile"]
