"""One result of any kind in memory: its arrays, its attributes, and the three things one does with it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import LandscapeError
from ..spec import nearest
from . import schema
from .values import Value

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """A result: `arrays` by name and `attrs` by name, both also as attributes (`result.eigenvalues`; arrays go first).

    Arrays come in the dtypes and attributes in the plain types of the kind's schema (landscape.results.schema), so that
    a result equals itself read back from its file. Raises ResultError where they do not fit the kind.
    """

    kind: str
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    attrs: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrays", schema.canonical_arrays(self.kind, self.arrays))
        object.__setattr__(self, "attrs", schema.canonical_attributes(self.kind, self.attrs))

    @classmethod
    def _as_read(cls, kind: str, arrays: Mapping[str, np.ndarray], attrs: Mapping[str, Value]) -> Result:
        """Return a result whose values the store has checked; it may hold a part of the arrays only."""
        result = cls.__new__(cls)
        for name, value in (("kind", kind), ("arrays", dict(arrays)), ("attrs", dict(attrs))):
            object.__setattr__(result, name, value)
        return result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("kind", "arrays", "attrs"):  # while unpickling, there is nothing to ask yet
            raise AttributeError(name)
        for held in (self.arrays, self.attrs):
            if name in held:
                return held[name]
        raise AttributeError(f"a {self.kind} result has no {name!r}; {nearest(name, [*self.arrays, *self.attrs])}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.arrays, *self.attrs})

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write the result to one HDF5 file, whole or not at all, and return its path.

        Raises LandscapeError where the path exists (unless `overwrite`) or cannot be written, ResultError where the
        result lacks a required attribute.
        """
        from .store import write_result

        return write_result(self, path, overwrite=overwrite)

    def plot(self) -> Figure:
        """Draw the result; returns a matplotlib Figure."""
        from .. import plots  # the one door upwards: drawing is asked for here, and nowhere imported before

        return plots.plot([self])

    def to_xarray(self) -> xarray.Dataset:
        """Return the result as an xarray Dataset with named dimensions; attributes have netCDF's types."""
        try:
            import xarray
        except ImportError as error:
            raise LandscapeError("to_xarray needs xarray, which is not installed; type: pip install xarray") from error
        from .store import attributes_in_file, attributes_of_array, coordinates

        def flat(name: str) -> str:
            return name.replace("/", "_")

        kind = schema.find_kind(self.kind)
        held = {name: kind.arrays[name] for name in self.arrays}
        variables = {  # in a Dataset there are no groups: density/grid is density_grid
            flat(name): (
                [flat(dim) for dim in spec.dims],
                self.arrays[name],
                attributes_of_array(spec),
            )
            for name, spec in held.items()
        }
        return xarray.Dataset(
            variables, coords=coordinates(kind, self.arrays), attrs=attributes_in_file(self.kind, self.attrs)
        )

    def __repr__(self) -> str:
        from .describe import headline

        return f"<Result {headline(self)}>"

    def _repr_html_(self) -> str:
        from .describe import describe

        cells = [(html.escape(key), html.escape(text)) for key, text in describe(self)]
        rows = "".join(f"<tr><th>{key}</th><td>{text}</td></tr>" for key, text in cells)
        return f"<table style='text-align: left'>{rows}</table>"
