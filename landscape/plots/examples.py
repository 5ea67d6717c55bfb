"""The examples that make a net sharp: their curvature against their margin, how few carry it, and their images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ..errors import ResultError
from ..results.concentration import CURVATURE, IMAGES, carried, concentration_curve, has_examples, shares
from ..results.result import Result
from . import style
from .spectrum import DASHES, styled

_BINS = 20  # of equally many examples, whose means make the line through the cloud
_MARKED = 0.05  # of the examples, whose share is written beside the curve
_PAIRS = 3  # whose curves are drawn for a single result
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85}
_REMEDY = "make them with: landscape hessian CKPT --per-example 3"


def draw_example_curvature(ax: Axes, result: Result) -> None:
    """Draw the curvature of each example along the first eigenvector against its margin (its loss, where it has none).

    The line is the mean over twenty bins of equally many examples; left of 0 lie those that are wrong under attack.
    What each side carries stands above it. Those whose images are kept are ringed.
    """
    _check([result])
    terms = result.arrays[CURVATURE][0]
    margin = result.arrays.get("examples/margin")
    place = result.arrays["examples/loss"] if margin is None else margin
    (colour,) = style.eps_colours([0.0]).values()
    ax.axhline(0, color=style.GREY, linewidth=0.4, zorder=0)
    wrong = np.zeros(len(terms), dtype=bool) if margin is None else margin < 0
    for chosen, ink in ((~wrong, colour), (wrong, style.ALARM)):
        ax.plot(
            place[chosen], terms[chosen], ".", color=ink, markersize=3.5, markeredgewidth=0, alpha=0.35,
            gid="examples", rasterized=True,
        )  # fmt: skip
    ringed = np.isin(result.arrays["examples/index"], result.arrays["examples/sharpest"])
    ax.plot(
        place[ringed], terms[ringed], "o", markersize=4, markerfacecolor="none", markeredgecolor=style.INK,
        markeredgewidth=0.6, gid="sharpest",
    )  # fmt: skip
    bins = [part for part in np.array_split(np.argsort(place), _BINS) if len(part)]
    ax.plot(
        [place[part].mean() for part in bins], [terms[part].mean() for part in bins], color=style.INK, linewidth=1.0,
        gid="mean",
    )  # fmt: skip
    ax.set_ylabel("curvature $v_1'H_iv_1$")
    ax.set_xlabel("loss, attacked (nats)" if margin is None else "logit margin, attacked")
    if margin is not None:
        ax.axvline(0, color=style.GREY, linewidth=0.6, linestyle=":", zorder=0)
        _label_sides(ax, margin, shares(terms))


def draw_concentration(ax: Axes, results: Sequence[Result]) -> None:
    """Draw the share of an eigenvalue that the examples with most of it carry, against how many these are.

    Of one result, for its first three pairs; of several, for the first pair of each, coloured by eps. The thin line is
    that of equal shares.
    """
    chosen = [result for result in results if has_examples(result)]
    _check(chosen)
    for curve, colour, dashes in styled(chosen):
        for number, result in enumerate(curve.results):
            pairs = result.arrays[CURVATURE][: _PAIRS if len(chosen) == 1 else 1]
            for pair, terms in enumerate(pairs, 1):
                look = DASHES[pair - 1] if len(chosen) == 1 else dashes
                label = f"$\\lambda_{pair}$" if len(chosen) == 1 else curve.label if number == 0 else "_run"
                fractions, shown = concentration_curve(terms)
                ax.plot(100 * fractions, 100 * shown, color=colour, linestyle=look, label=label, gid="concentration")
    if len(chosen) == 1 and np.isfinite(share := 100 * carried(chosen[0].arrays[CURVATURE][0], _MARKED)):
        ax.plot([100 * _MARKED], [share], "o", color=colour, markersize=3)
        text = f"{100 * _MARKED:.0f} % carry {share:.0f} %"
        ax.annotate(text, (100 * _MARKED, share), xytext=(6, -4), textcoords="offset points", fontsize=6.5, bbox=_PAPER)
    ax.plot([0, 100], [0, 100], color=style.GREY, linewidth=0.5, zorder=0)
    ax.set_xlim(0, 100)
    ax.set_ylim(0, None)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(decimals=0))
    ax.set_xlabel("examples, the sharpest first")
    ax.set_ylabel("share of eigenvalue" if len(chosen) == 1 else "share of $\\lambda_1$")
    ax.legend(loc="lower right", handlelength=1.8, labelspacing=0.3, borderaxespad=0.2)


def draw_images(axes: Sequence[Axes], result: Result) -> None:
    """Draw the attacked images of the sharpest examples, one on each of the axes: label / rival, and share of λ1.

    Red are those that are wrong. A rival is the strongest other class: what the net takes them for where it is wrong.
    """
    _check([result])
    terms = result.arrays[CURVATURE][0]
    share = shares(terms)
    places = {index: place for place, index in enumerate(result.arrays["examples/index"].tolist())}
    label, rival, margin = (result.arrays.get(f"examples/{name}") for name in ("label", "rival", "margin"))
    assert label is not None
    for ax, image, index in zip(axes, result.arrays[IMAGES], result.arrays["examples/sharpest"].tolist(), strict=False):
        place = places[index]
        # Of other numbers of channels than grey's and colour's, no picture is right: their mean.
        shown = np.moveaxis(image, 0, -1) if len(image) == 3 else image.mean(0)
        ax.imshow(np.clip(shown, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        wrong = margin is not None and margin[place] < 0
        title = f"{label[place]}" if rival is None else f"{label[place]} / {rival[place]}"
        ax.set_title(title, fontsize=7, color=style.ALARM if wrong else style.INK, pad=2)
        if np.isfinite(share[place]):
            ax.set_xlabel(f"{100 * share[place]:.2f} %", fontsize=6, labelpad=2)
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(False)


def examples_note(result: Result) -> str:
    """Return what the images and the cloud of a figure show."""
    kept = len(result.arrays["examples/sharpest"])
    told = "label / strongest other class" if "examples/rival" in result.arrays else "label"
    parts = [
        f"Images: the {kept} examples with most of λ1 (ringed), attacked: {told} (red: wrong), share of λ1",
        f"line: mean over {_BINS} bins of the {len(result.arrays['examples/index']):,} examples",
    ]
    if result.attrs.get("weight_decay"):
        parts.append(f"each term holds {result.attrs['weight_decay']:g} of the weight decay")
    return "; ".join(parts) + "."


def _label_sides(ax: Axes, margin: np.ndarray, share: np.ndarray) -> None:
    for side, chosen, where, align, ink in (
        ("wrong", margin < 0, 0.0, "left", style.ALARM),
        ("right", margin >= 0, 1.0, "right", style.INK),
    ):
        if chosen.any() and np.isfinite(share).all():
            text = f"{side}: {100 * chosen.mean():.0f} %\ncarry {100 * share[chosen].sum():.0f} %"
            ax.text(where, 1.0, text, transform=ax.transAxes, ha=align, va="bottom", fontsize=6.5, color=ink)


def _check(results: Sequence[Result]) -> None:
    if not results or not all(map(has_examples, results)):
        raise ResultError(f"there are no examples to draw; {_REMEDY}")
