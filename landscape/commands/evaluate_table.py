"""An evaluation on the terminal: errors in per cent, runs in the form 18.62(6), pairs with their intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..results import Result
from ..statistics import mcnemar, with_deviation
from ..terminal import print_table, say

COARSE = 4  # radii that the adequacy checks take by themselves: no curve to show


def show(result: Result, path: Path, *, again: bool) -> None:
    """Print an evaluation's table, what it can tell and what it cannot, and where it lies; `again`: it was there."""
    attrs: dict[str, Any] = result.attrs
    names, attacks = result.checkpoints.tolist(), result.attacks.tolist()
    n = attrs["n_examples"]
    if "loss" in result.arrays:
        _show_losses(result, names, attacks)
    else:
        _show_errors(result, names, attacks, n)
    verdicts = attrs.get("verdicts", [])
    for name, verdict in zip(names, [verdicts] if isinstance(verdicts, str) else verdicts, strict=False):
        say(f"{short(name)}: {verdict}" if len(names) > 1 else str(verdict))
    if len(result.arrays.get("curve/eps", ())) > COARSE:
        _curve(result)
    say(f"{'found' if again else 'wrote'} {path}")


def _show_losses(result: Result, names: list[str], attacks: list[str]) -> None:
    """Print the mean losses, where labels are numbers and nothing is right or wrong."""
    rows = [
        [short(name), *(f"{loss:.5g} ± {error:.2g}" for loss, error in zip(*row, strict=True)), f"{worst:.5g}"]
        for name, *row, worst in zip(
            names, result.arrays["loss"], result.arrays["loss_se"], result.arrays["worst_loss"], strict=True
        )
    ]
    print_table(
        f"mean loss of {result.attrs['n_examples']:,} examples, whose labels are numbers: no error rate",
        ["net", *_heads(attacks), "worst case"],
        rows,
    )


def _show_errors(result: Result, names: list[str], attacks: list[str], n: int) -> None:
    rows = [
        [short(name), *(f"{100 * rate:.2f}" for rate in rates), f"{100 * worst:.2f}"]
        for name, rates, worst in zip(names, result.error_rate, result.worst_case, strict=True)
    ]
    for label, members in runs(result).items():
        if len(members) > 1:
            cells = [with_deviation(100 * result.error_rate[members, column]) for column in range(len(attacks))]
            rows.append([label, *cells, with_deviation(100 * result.worst_case[members])])
    told = ", each with what those before fooled" if result.attrs["cascade"] else ""
    print_table(f"error in % of {n:,} examples{told}", ["net", *_heads(attacks), "worst case"], rows)
    if len(names) == 1:
        bounds = zip(attacks, result.error_low[0], result.error_high[0], strict=True)
        shown = ", ".join(f"{attack} {100 * low:.2f} to {100 * high:.2f}" for attack, low, high in bounds)
        say(f"95 % over examples (Wilson): {shown}")
    if len(names) == 2:
        _compare(result)


def _heads(attacks: list[str]) -> list[str]:
    """Return the attacks without their settings, which the line above states, where that tells them apart."""
    bare = [attack.partition(":")[0] for attack in attacks]
    return [name if bare.count(name) == 1 else attack for name, attack in zip(bare, attacks, strict=True)]


def runs(result: Result) -> dict[str, list[int]]:
    """Return the places of the nets that differ in their seed alone, under words for what they share."""
    training = result.attrs.get("training")
    groups: dict[str, list[int]] = {}
    if not isinstance(training, list) or len(training) != len(result.checkpoints):
        return {}
    for place, entry in enumerate(training):
        if isinstance(entry, dict) and "seed" in entry:
            shared = {key: value for key, value in entry.items() if key not in ("seed", "final")}
            groups.setdefault(json.dumps(shared, sort_keys=True), []).append(place)
    labels: dict[str, list[int]] = {}
    for key, places in groups.items():
        shared = json.loads(key)
        words = f"{len(places)} seeds, {shared.get('eps_schedule', 'eps')} eps"
        labels[words if words not in labels else f"{words} ({len(labels) + 1})"] = places
    return labels


def _compare(result: Result) -> None:
    """Say, for two nets, what their difference is on the same examples, attack by attack."""
    worst = result.correct.all(1)
    pairs = [*((str(attack), result.correct[:, i]) for i, attack in enumerate(result.attacks)), ("worst case", worst)]
    rows = []
    for attack, (one, other) in pairs:
        found = mcnemar(one, other)
        verdict = {-1: "first is better", 0: "too small to tell", 1: "second is better"}[found.sign]
        interval = f"{100 * found.low:+.2f} to {100 * found.high:+.2f}"
        rows.append([attack, f"{100 * found.value:+.2f}", interval, f"{found.p:.2g}", verdict])
    header = ["attack", "difference", "95 %", "McNemar p", "of these two nets"]
    print_table("first minus second, in points of error, on the same examples", header, rows)


def _curve(result: Result) -> None:
    radii = result.arrays["curve/eps"]
    rows = [
        [f"{eps:.4g}", *(f"{100 * rate:.1f}" for rate in column)]
        for eps, column in zip(radii, result.arrays["curve/error_rate"].T, strict=True)
    ]
    print_table(
        f"error in % against eps, {result.attrs['curve_attack']}, {result.attrs['curve_examples']:,} examples",
        ["eps", *map(short, result.checkpoints.tolist())],
        rows,
    )


def short(name: str, *, most: int = 32) -> str:
    """Return a checkpoint's name in at most so many letters: the end of a path tells more than its beginning."""
    name = " + ".join(Path(part).name if part.endswith((".pt", ".safetensors")) else part for part in name.split(" + "))
    return name if len(name) <= most else "..." + name[3 - most :]
