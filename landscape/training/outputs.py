"""The files that a run writes, all named after its checkpoint NAME.pt (or NAME.safetensors)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import LandscapeError, UsageError

SUFFIXES = (".pt", ".safetensors")


class Outputs:
    """Paths of a run's files; raises UsageError for a name or an epoch that cannot be meant.

    `epochs` are those kept as NAME-epochN.pt: 0, those asked for and the ends of the periods.
    """

    def __init__(
        self,
        out: str | Path,
        save_epochs: Iterable[int],
        *,
        last: int,
        traces: bool = False,
        best: bool = False,
        ema: bool = False,
    ) -> None:
        self.out = Path(out)
        if self.out.suffix not in SUFFIXES:
            raise UsageError(f"{out} is no name for a checkpoint; give --out NAME.pt, or NAME.safetensors")
        kept = sorted({epoch for epoch in save_epochs if epoch != 0})  # epoch 0 is always kept
        for epoch in kept:
            if not 0 < epoch <= last:
                raise UsageError(f"epoch {epoch} cannot be saved; the run has epochs 1 to {last} (--save-epochs)")
        self.epochs = {epoch: self._named(f"-epoch{epoch}{self.out.suffix}") for epoch in (0, *kept)}
        self.traces = self._named(".traces.h5") if traces else None
        self.best = self._named(f"-best{self.out.suffix}") if best else None
        self.ema = self._named(f"-ema{self.out.suffix}") if ema else None
        self.resume = self._named(".resume.pt")  # while the run is unfinished

    def _named(self, ending: str) -> Path:
        return self.out.with_name(f"{self.out.stem}{ending}")

    @property
    def paths(self) -> list[Path]:
        """Return what a finished run has written, the trained net first."""
        asked = [path for path in (self.best, self.ema, self.traces) if path is not None]
        return [self.out, *self.epochs.values(), *asked]

    def check(self, *, overwrite: bool) -> None:
        """Raise LandscapeError where a file is in the way."""
        for path in self.paths:
            if path.is_dir():
                raise LandscapeError(f"{path} is a folder; name a file with --out")
            if path.exists() and not overwrite:
                raise LandscapeError(f"{path} exists and is kept; give --overwrite, or another --out")
