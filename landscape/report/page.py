"""One HTML file from results: the page's parts joined, every text escaped, and a policy that forbids it the network."""

from __future__ import annotations

import base64
import datetime
import functools
import gzip
import hashlib
import importlib.util
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..errors import LandscapeError, ResultError
from ..plots.plain import plain
from ..results.caveats import caveats
from ..results.describe import describe
from ..results.kinds import KINDS
from ..results.result import Result
from .blob import Blob
from .chart import Chart
from .gathering import Left, Source, kinds_in_order
from .planes import CODES, packed_surface, picture
from .quality import quality
from .tables import evaluation_tables, left_list, provenance, quality_table
from .views import CHARTS
from .views.plain import plain_charts
from .words import script_json, text

# What numbers that fit their kind and make no sense may raise: sizes of nought, numbers without end.
NO_SENSE = (
    ArithmeticError,
    AttributeError,
    LandscapeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
PICTURES = 24  # of surfaces, for browsers without WebGL and for paper
TITLES = {
    "surface": "Surfaces",
    "hessian": "Hessian spectra",
    "traces": "Training",
    "connect": "Connectivity",
    "evaluate": "Evaluation",
    "scattering": "Scattering",
    "sharpness": "Sharpness",
    "theory": "The linear model",
}
SCRIPTS = ("arrays.js", "words.js", "theme.js", "charts.js", "surfaces.js", "start.js")
_PARTS = Path(__file__).parent / "page"

Progress = Callable[[str, int, int], None]


def make_page(
    sources: Sequence[Source],
    left: Sequence[Left] = (),
    *,
    title: str = "Landscape report",
    progress: Progress | None = None,
) -> str:
    """Return the page that shows these results, and names what was left out.

    Raises LandscapeError where plotly, which the extra `report` installs, is not there.
    """
    # Numbers without end or out of all bounds are shown as what they are: nobody is helped by a warning of NumPy's.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _make_page(sources, left, title=title, progress=progress)


def _make_page(sources: Sequence[Source], left: Sequence[Left], *, title: str, progress: Progress | None) -> str:
    blob = Blob()
    report = progress or (lambda stage, done, total: None)
    sources, odd = _showable(sources)
    left = [*left, *odd]
    results = [{"name": source.name, "kind": source.result.kind, "cautions": _cautions(source)} for source in sources]
    charts: list[tuple[str, Chart, dict[str, Any]]] = []
    kinds = [kind for kind in kinds_in_order() if any(source.result.kind == kind for source in sources)]
    for number, kind in enumerate(kinds):
        report("making views", number, len(kinds))
        places = [place for place, source in enumerate(sources) if source.result.kind == kind]
        if kind != "surface":
            for chart in _charts(kind, [sources[place].result for place in places]):
                packed = chart.packed(blob)
                for series in packed["series"]:
                    series["result"] = places[series["result"]]
                charts.append((kind, chart, packed))
    planes = [(place, source.result) for place, source in enumerate(sources) if source.result.kind == "surface"]
    surfaces = [packed_surface(place, result, blob) for place, result in planes]
    pictures = []
    for number, (place, result) in enumerate(planes[:PICTURES]):
        report("drawing pictures", number, len(planes[:PICTURES]))
        pictures.append(_picture(number, sources[place].name, picture(plain(result))))
    body = [_quality(sources)]
    for kind in kinds:
        own = [(k, chart) for k, (of, chart, _) in enumerate(charts) if of == kind]
        body.append(_section(kind, sources, own, "".join(pictures)))
    body.append(_made(sources, left))
    library, packed_library = _plotly()
    script = "\n".join((_PARTS / name).read_text(encoding="utf-8") for name in SCRIPTS)
    data = {
        "results": results,
        "charts": [packed for _, _, packed in charts],
        "surfaces": surfaces,
        "arrays": blob.index,
        "codes": {str(code): word for code, word in CODES.items()},
    }
    links = [("quality-box", "Data quality"), *((kind, _title(kind)) for kind in kinds), ("made", "Provenance")]
    return _filled(
        (_PARTS / "report.html").read_text(encoding="utf-8"),
        {
            "policy": _policy(library, script),
            "version": text(__version__),
            "title": text(title),
            "style": (_PARTS / "report.css").read_text(encoding="utf-8"),
            "summary": _summary(sources, left),
            "navigation": "".join(f'<a href="#{name}">{text(word)}</a>' for name, word in links),
            "body": "\n".join(body),
            "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "data": script_json(data),
            "arrays": blob.text,
            "plotly": packed_library,
            "script": script,
        },
    )


def _showable(sources: Sequence[Source]) -> tuple[list[Source], list[Left]]:
    """Return the results that can be shown; the others, which fit their kind and make no sense, as left out.

    Raises ResultError where none is left.
    """
    good, odd = [], []
    for source in sources:
        try:
            quality(source.result)
            describe(source.result)
            if source.result.kind != "surface":
                CHARTS.get(source.result.kind, plain_charts)([source.result])
            else:
                packed_surface(0, source.result, Blob())
        except NO_SENSE as error:
            told = " ".join(str(error).split())[:200]
            reason = f"cannot be shown ({type(error).__name__}: {told}); are the numbers those that landscape wrote?"
            odd.append(Left(source.path, reason))
        else:
            good.append(source)
    if not good:
        raise ResultError(f"no result can be shown; {odd[0].path} {odd[0].reason}")
    return good, odd


def _charts(kind: str, results: Sequence[Result]) -> list[Chart]:
    """Return the charts of results that can each be shown; raise ResultError where they cannot be shown together."""
    try:
        return CHARTS.get(kind, plain_charts)(results)
    except NO_SENSE as error:
        told = " ".join(str(error).split())[:200]
        raise ResultError(
            f"the {kind} results cannot be shown together ({type(error).__name__}: {told}); give fewer files"
        ) from error


def _filled(template: str, values: dict[str, str]) -> str:
    """Return a template with its {{names}} replaced, once: what is put in is not looked at again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _policy(*scripts: str) -> str:
    """Return a content security policy: these scripts alone, styles and pictures of the page's own, no network."""
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode("ascii") for one in scripts]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; form-action 'none'"
    )


@functools.cache
def _plotly() -> tuple[str, str]:
    """Return plotly.js, and the same packed into a text."""
    found = importlib.util.find_spec("plotly")
    if found is None or found.origin is None:
        raise LandscapeError("a report needs plotly, which is not installed; type: pip install 'landscape[report]'")
    library = (Path(found.origin).parent / "package_data" / "plotly.min.js").read_bytes()
    return library.decode(), base64.b64encode(gzip.compress(library, 9, mtime=0)).decode("ascii")


def _cautions(source: Source) -> list[str]:
    thinned = [f"thinned to {source.thinned}"] if source.thinned else []
    return [*caveats(source.result), *thinned]


def _summary(sources: Sequence[Source], left: Sequence[Left]) -> str:
    counts = {kind: sum(source.result.kind == kind for source in sources) for kind in KINDS}
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    cautioned = sum(bool(caveats(source.result)) for source in sources)
    parts = [f"{len(sources)} result{'s' if len(sources) > 1 else ''}: {told}."]
    parts.append(
        f'<a href="#quality-box" class="to-red">{cautioned} with cautions</a>.' if cautioned else "No cautions."
    )
    if left:
        parts.append(f'<a href="#left">{len(left)} file{"s" if len(left) > 1 else ""} left out</a>.')
    return " ".join(parts)


def _quality(sources: Sequence[Source]) -> str:
    table = quality_table(sources)
    return (
        '<section id="quality-box" aria-labelledby="head-quality"><h2 id="head-quality">Data quality</h2>'
        f"<p>{text(_red(table))}</p>"
        '<p class="note">Red, and marked "!": what the result itself gives as a reason for distrust, by the rules of '
        "<code>landscape info</code> and of the printed figures.</p>"
        '<p class="controls"><label><input type="checkbox" id="flagged-only"> only what is red</label></p>'
        f"{table}</section>"
    )


def _title(kind: str) -> str:
    return TITLES.get(kind, kind.capitalize())


def _red(table: str) -> str:
    flagged, every = table.count('<tr class="flagged">'), table.count('<th scope="row">')
    return f"Something is red for {flagged} of {every} results." if flagged else "Nothing is red."


def _section(kind: str, sources: Sequence[Source], charts: Sequence[tuple[int, Chart]], pictures: str) -> str:
    if kind == "surface":
        template = (_PARTS / "surface.html").read_text(encoding="utf-8")
        statics = f'<div class="statics">{pictures}</div>'
        return _filled(template, {"pictures": statics})
    parts = [f'<section id="{kind}" aria-labelledby="head-{kind}"><h2 id="head-{kind}">{text(_title(kind))}</h2>']
    if kind == "evaluate":
        parts.append(evaluation_tables(sources))
    said = [
        f"<li>{text(source.name)}: {text('; '.join(own))}</li>"
        for source in sources
        if source.result.kind == kind and (own := _cautions(source))
    ]
    if said:
        shown = f'<ul class="cautions">{"".join(said)}</ul>'
        folded = f"<details class='group'><summary>{len(said)} results with cautions</summary>{shown}</details>"
        parts.append(shown if len(said) <= 5 else folded)
    for number, chart in charts:
        parts.append(
            f'<div class="chart" id="chart-{number}"><h3>{text(chart.title)}</h3><div class="controls"></div>'
            f'<div class="plot" role="img" aria-label="{text(chart.title)}"></div>'
            f'<p class="note">{text(chart.note)}</p></div>'
        )
    return "".join([*parts, "</section>"])


def _picture(number: int, name: str, data: str | None) -> str:
    if data is None:
        return ""
    alt = text(f"relief of {name}")
    return (
        f'<figure class="static" data-surface="{number}"><img src="data:image/png;base64,{data}" alt="{alt}">'
        f"<figcaption>{text(name)}</figcaption></figure>"
    )


def _made(sources: Sequence[Source], left: Sequence[Left]) -> str:
    parts = ['<section id="made" aria-labelledby="head-made"><h2 id="head-made">Provenance</h2>']
    if left:
        parts += [f'<h3 id="left">Left out ({len(left)})</h3>', left_list(left), "<h3>Results</h3>"]
    parts += [provenance(place, source) for place, source in enumerate(sources)]
    return "".join([*parts, "</section>"])
