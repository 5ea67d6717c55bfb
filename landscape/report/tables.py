"""The page's tables, written as HTML: they can be read where no script runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..plots.labels import net_name
from ..results.describe import describe, show
from ..results.result import Result
from ..units import format_eps
from .gathering import Left, Source
from .quality import COLUMNS, policies, quality
from .seeds import seed_tables
from .words import text


def quality_table(sources: Sequence[Source]) -> str:
    """Return the data-quality box: a row for each result, a column for each way in which its numbers can mislead."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in ("result", "kind", *COLUMNS.values()))
    by_kind: dict[str, list[Result]] = {}
    for source in sources:
        by_kind.setdefault(source.result.kind, []).append(source.result)
    differing = {kind: policies(results) for kind, results in by_kind.items()}
    rows = []
    for place, source in enumerate(sources):
        cells = quality(source.result)
        row = [
            f'<th scope="row"><a href="#result-{place}">{text(source.name)}</a></th>',
            f"<td>{source.result.kind}</td>",
        ]
        for name, cell in cells.items():
            said, bad = cell.text, cell.bad
            if name == "batchnorm" and differing[source.result.kind]:
                said, bad = f"{said}; results differ: {', '.join(differing[source.result.kind])}", True
            row.append(f'<td class="bad">{text(said)}</td>' if bad else f"<td>{text(said)}</td>")
        rows.append(f"<tr{_flag(row)}>{''.join(row)}</tr>")
    return _table("quality", "Data quality", head, rows)


def _flag(row: Sequence[str]) -> str:
    return ' class="flagged"' if any('class="bad"' in cell for cell in row) else ""


def evaluation_tables(sources: Sequence[Source]) -> str:
    """Return a table for each evaluation: error in per cent of each net under each attack, and what it can tell."""
    tables = [
        f"<div>{_evaluation(place, source)}</div>"
        for place, source in enumerate(sources)
        if source.result.kind == "evaluate"
    ]
    over = seed_tables([source.result for source in sources if source.result.kind == "evaluate"])
    seeds = [f"<div>{_table(f'seeds-{k}', *parts)}</div>" for k, parts in enumerate(over)]
    return f'<div class="tables">{"".join([*seeds, *tables])}</div>'


def _evaluation(place: int, source: Source) -> str:
    result = source.result
    attrs: dict[str, Any] = result.attrs
    attacks = [str(attack) for attack in result.arrays["attacks"]]
    bare = [attack.partition(":")[0] for attack in attacks]
    head = '<th scope="col">net</th>' + "".join(
        f'<th scope="col" title="{text(attack)}">{text(short if bare.count(short) == 1 else attack)}</th>'
        for attack, short in zip(attacks, bare, strict=True)
    )
    told = attrs.get("verdicts", [])
    verdicts = [str(one) for one in (told if isinstance(told, list) else [told])]
    head += '<th scope="col">worst case</th>' + ('<th scope="col">attacks</th>' if verdicts else "")
    rows = []
    for net, name in enumerate(result.arrays["checkpoints"]):
        cells = [f'<th scope="row" title="{text(name)}">{text(net_name(str(name)))}</th>']
        for column in range(len(attacks)):
            rate, low, high = (
                float(result.arrays[key][net, column]) for key in ("error_rate", "error_low", "error_high")
            )
            interval = f"95 % over examples: {100 * low:.2f} to {100 * high:.2f}"
            cells.append(_rate(rate, interval))
        cells.append(_rate(float(result.arrays["worst_case"][net]), "wrong under any of them"))
        if verdicts:
            verdict = verdicts[net] if net < len(verdicts) else ""
            bad = ' class="bad"' if verdict.startswith("suspect") else ""
            cells.append(f"<td{bad}>{text(verdict)}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    eps = attrs.get("eps")
    radius = format_eps(eps) if isinstance(eps, float) else "unknown"
    caption = (
        f"{source.name}: error in % of {show(attrs.get('n_examples'))} {attrs.get('split')} examples, "
        f"{attrs.get('norm')} ε = {radius}"
        + (", each attack with what those before fooled" if attrs.get("cascade") else "")
    )
    return _table(f"evaluation-{place}", caption, head, rows)


def _rate(rate: float, note: str) -> str:
    shown = f"{100 * rate:.2f}" if np.isfinite(rate) else "–"
    return f'<td class="number" data-value="{rate!r}" title="{text(note)}">{shown}</td>'


def left_list(left: Sequence[Left]) -> str:
    """Return what the report does not show, and why."""
    items = "".join(f"<li><code>{text(_place(one.path))}</code>: {text(one.reason)}</li>" for one in left)
    return f"<ul>{items}</ul>"


def provenance(place: int, source: Source) -> str:
    """Return how a result was made: the command, to be copied, and all that the file says of itself."""
    lines = [(key, told) for key, told in describe(source.result) if key != "command"]
    # On one line: what is pasted into a shell must not run before it is read.
    command = text(str(source.result.attrs.get("command", "")).replace("\n", "\\n"))
    rows = "".join(f"<tr><th scope='row'>{text(key)}</th><td>{text(told)}</td></tr>" for key, told in lines)
    thinned = f'<p class="thinned">Thinned for this page: {text(source.thinned)}.</p>' if source.thinned else ""
    return (
        f'<div class="result" id="result-{place}"><p><b>{text(source.name)}</b> {text(source.result.kind)}, '
        f"<code>{text(_place(source.path))}</code></p>"
        f'<p class="command"><code>{command}</code> <button type="button" class="copy" '
        f'data-copy="{command}">copy</button></p>{thinned}'
        f"<details><summary>all that the file says of itself</summary><table>{rows}</table></details></div>"
    )


def _place(path: Path) -> str:
    """Return where a file is, without the folders of the machine that the page was made on."""
    return "/".join(path.parts[-3:]) if path.is_absolute() else str(path)


def _table(name: str, caption: str, head: str, rows: Sequence[str]) -> str:
    return (
        f'<div class="scroll"><table id="{name}" class="data"><caption>{text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="tools"><button type="button" class="csv" data-table="{name}">CSV</button></p>'
    )
