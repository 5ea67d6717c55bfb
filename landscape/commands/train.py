"""`landscape train`: train a net adversarially, and save it with all that rebuilds it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from .. import options
from ..errors import LandscapeError, UsageError
from ..spec import parse_spec
from ..terminal import Interruption, print_table, progress, say, say_next
from ..units import format_eps, parse_eps, parse_number
from .together import in_all_processes

EXAMPLE = "landscape train --data digits --model lenet:width=2 --eps 0.1 --out robust.pt"


def _epochs(ctx: click.Context, param: click.Parameter, text: str) -> list[int]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isdecimal() for word in words):
        raise click.BadParameter(f"{text!r} is no list of epochs; write 5,10,20")
    return [int(word) for word in words]


def _words(ctx: click.Context, param: click.Parameter, text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _fractions(ctx: click.Context, param: click.Parameter, text: str) -> list[float]:
    try:
        return [parse_number(word) for word in text.split(",") if word.strip()]
    except UsageError as error:
        raise click.BadParameter(f"{text!r} is no list of fractions; write 0.5,0.75") from error


@click.command(epilog=f"Example: {EXAMPLE}")
@options.data
@options.data_dir
@options.model
@click.option(
    "--eps", metavar="EPS", required=True, help="Radius in pixel units, such as 8/255; 0 trains without an adversary."
)
@options.together(
    click.option("--norm", type=click.Choice(options.NORMS), default="linf", show_default=True),
    click.option(
        "--eps-schedule", type=click.Choice(["constant", "linear", "cosine"]), default="constant", show_default=True
    ),
    click.option(
        "--eps-overshoot", metavar="EPS", help="Where a warm-up heads, clipped at --eps.  [default: twice --eps]"
    ),
    click.option("--eps-start", metavar="EPS", default="0", show_default=True, help="Where a warm-up begins."),
    click.option(
        "--epochs", type=click.IntRange(1), help="Passes over the data.  [default: 20, or the --periods' end]"
    ),
    click.option(
        "--periods",
        default="",
        callback=_epochs,
        metavar="N,N...",
        help="Epochs where lr and eps start anew, each kept as NAME-epochN.pt; 100,150,200 is the paper's.",
    ),
    click.option("--optimizer", type=click.Choice(["adam", "sgd"]), default="adam", show_default=True),
    click.option("--lr", type=float, help="Learning rate.  [default: 1e-3 for adam, 0.1 for sgd]"),
    click.option(
        "--lr-schedule",
        type=click.Choice(["constant", "step", "cosine", "linear", "cyclic"]),
        default="constant",
        show_default=True,
    ),
    click.option(
        "--lr-drops",
        default="0.5,0.75",
        show_default=True,
        callback=_fractions,
        metavar="F,F...",
        help="Where a step schedule divides the learning rate by 10: fractions of a period.",
    ),
    click.option(
        "--lr-warmup", type=float, default=0.0, show_default=True, help="Epochs that the learning rate climbs from 0."
    ),
    click.option(
        "--schedule-by",
        type=click.Choice(["epoch", "batch"]),
        default="epoch",
        show_default=True,
        help="What schedules move with; the paper's move with epochs.",
    ),
    click.option("--weight-decay", type=float, default=0.0, show_default=True),
    click.option("--momentum", type=float, default=0.9, show_default=True),
    click.option("--batch-size", type=click.IntRange(1), default=128, show_default=True),
    click.option("--ema", type=float, metavar="DECAY", help="Keep NAME-ema.pt too, a moving average, such as 0.999."),
    click.option(
        "--holdout", type=click.IntRange(0), default=0, metavar="N", help="Training examples kept out of training."
    ),
    click.option(
        "--keep-best", is_flag=True, help="Keep NAME-best.pt too, the epoch of the least robust error on --holdout."
    ),
    click.option(
        "--precision",
        type=click.Choice(["float32", "bf16"]),
        default="float32",
        show_default=True,
        help="Arithmetic of the updates; evaluation is in float32 always.",
    ),
    click.option(
        "--attack-precision",
        type=click.Choice(["float32", "bf16"]),
        default="float32",
        show_default=True,
        help="Arithmetic of training's attack.",
    ),
    click.option(
        "--compile", "compiler", is_flag=True, help="Compile updates and attack (torch.compile); other last digits."
    ),
)
@options.attack
@options.loss
@options.seed
@options.device
@click.option("--save-epochs", default="", callback=_epochs, metavar="N,N...", help="Keep NAME-epochN.pt too.")
@options.together(
    click.option(
        "--trace-every",
        type=click.IntRange(0),
        default=1,
        show_default=True,
        help="Mini-batches to a row; 0: no traces.",
    ),
    click.option(
        "--trace-halves",
        type=click.IntRange(1),
        help="Rows to one with half-batch gradients.  [default: as cheap as 1.5 % of the run]",
    ),
    click.option(
        "--trace",
        "extras",
        default="",
        callback=_words,
        metavar="WHAT,...",
        help="More in some rows: layers (norms by layer), cosine (with the clean gradient), lambda1.",
    ),
    click.option(
        "--trace-extras-every",
        "extras_every",
        type=click.IntRange(1),
        default=100,
        show_default=True,
        help="Rows to one with --trace.",
    ),
    click.option(
        "--test-every",
        type=click.IntRange(0),
        default=0,
        help="Mini-batches to a row of test errors: clean, at the current and at the target eps.  [default: none]",
    ),
    click.option("--test-examples", type=click.IntRange(1), default=1000, show_default=True),
    click.option(
        "--probe-every",
        type=click.IntRange(0),
        metavar="EPOCHS",
        help="Probes for an attack that training has learnt to fool; 0: none.  [default: as cheap as 3 % of the run]",
    ),
)
@click.option("--out", type=options.PATH, required=True, metavar="NAME.pt", help="The checkpoint, .safetensors too.")
@options.overwrite
@click.option("--resume", is_flag=True, help="Insist on an unfinished run to go on with; the same command does anyway.")
@click.option("--force-lr", type=float, help="Go on with this learning rate; the checkpoint will say from where.")
@click.option(
    "--save-every", type=click.FloatRange(0), default=60, show_default=True, help="Seconds to NAME.resume.pt."
)
@options.volume
@in_all_processes
def command(
    model: str | None,
    data: str | None,
    data_dir: Path | None,
    eps: str,
    norm: str,
    eps_overshoot: str | None,
    eps_start: str,
    loss: str | None,
    device: str,
    save_epochs: list[int],
    trace_every: int,
    trace_halves: int | None,
    extras: list[str],
    extras_every: int,
    test_every: int,
    test_examples: int,
    probe_every: int | None,
    keep_best: bool,
    compiler: bool,
    out: Path,
    overwrite: bool,
    resume: bool,
    force_lr: float | None,
    save_every: float,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Train --model on --data against an adversary of radius --eps, and save NAME.pt (and NAME-epoch0.pt, the start).

    NAME.traces.h5 has a row for each mini-batch: loss, error, gradient norm, distance from the start, lr and eps.

    The attack of training keeps its last iterate and runs in eval mode; its relative step follows eps through a
    warm-up, an absolute one (step=1/255) stays. With --loss it climbs that loss, and labels may be numbers: then
    nothing is right or wrong, and errors are NaN. The same seed on the same machine writes the same bytes.
    """
    if model is None or data is None:
        missing = "--model" if model is None else "--data"
        raise UsageError(f"{missing} is missing; such as: {EXAMPLE}")
    from ..distributed import Lost, current
    from ..memory import keep_freed_memory
    from ..results import command_line
    from ..training.recipe import Recipe
    from ..training.run import run
    from ..training.tracing import Tracing
    from ..training.trainer import Diverged

    keep_freed_memory()

    if test_every > 0 and trace_every == 0:
        raise UsageError("--test-every writes into the traces, and --trace-every 0 keeps none; leave one of them out")
    if extras and trace_every == 0:
        raise UsageError("--trace adds to the traces, and --trace-every 0 keeps none; leave one of them out")
    recipe = Recipe(
        eps=parse_eps(eps, norm=norm),
        norm=norm,
        eps_overshoot=None if eps_overshoot is None else parse_eps(eps_overshoot, norm=norm, name="eps_overshoot"),
        eps_start=parse_eps(eps_start, norm=norm, name="eps_start"),
        compiler="inductor" if compiler else None,
        **settings,
    )
    tracing = Tracing(trace_every or 1, trace_halves, test_every, test_examples, probe_every, extras, extras_every)
    group = current()
    place = options.choose_device(device, local=group.local, local_world=group.local_world)
    if not quiet:
        budget = f"{norm} eps {format_eps(recipe.eps)} ({recipe.eps_schedule})"
        on = "" if loss is None else f" by {loss}"
        say(f"training {model} on {data}{on} at {budget}, {recipe.epochs} epochs")
    try:
        with progress(quiet=quiet, verbose=verbose) as report:
            finished = run(
                recipe,
                model=model,
                data=data,
                out=out,
                save_epochs=save_epochs,
                keep_best=keep_best,
                tracing=tracing if trace_every else None,
                resume=resume,
                force_lr=force_lr,
                save_every=save_every,
                command=command_line(),
                loss=loss,
                data_dir=data_dir,
                device=place,
                overwrite=overwrite,
                progress=report,
                group=group,
            )
    except Interruption as interruption:
        raise Interruption(f"{interruption}; {_left(out, overwrite)}") from interruption
    except KeyboardInterrupt as interruption:  # a second one: the step in hand is lost
        raise KeyboardInterrupt(f"{interruption or 'interrupted at once'}; {_left(out, overwrite)}") from interruption
    except Diverged as error:
        raise LandscapeError(f"{error}{_last_finite(out, error.lr)}") from error
    except Lost as error:
        raise LandscapeError(f"{error}; {_left(out, overwrite)}") from error
    if quiet:
        return
    final = finished.training["final"]
    rows = [
        [split, f"{final[f'{split}_examples']:,}", *(_cell(final, kind, split) for kind in ("clean", "robust"))]
        for split in ("train", "test")
        if final[f"{split}_examples"]
    ]
    counted = "error (loss)" if not math.isnan(final["clean_train_error"]) else "loss"
    print_table(f"{counted} of {out.name}, robust: {final['attack']}", ["split", "examples", "clean", "robust"], rows)
    if final["collapsed"]:
        say("caution: the net is a constant classifier; try --eps-schedule linear, a wider --model, or a smaller --eps")
    say(f"wrote {', '.join(str(path) for path in finished.paths)}")
    # A checkpoint's word runs no code: what is a callable has to be typed again.
    specs = (("--model", model), ("--data", data), ("--loss", loss))
    code = [(flag, spec) for flag, spec in specs if spec is not None and parse_spec(spec).callable]
    say_next("landscape", "hessian", out, *(word for pair in code for word in pair))


def _left(out: Path, overwrite: bool) -> str:
    state = out.with_name(f"{out.stem}.resume.pt")
    if not state.exists():
        return "nothing was saved"
    same = "the same command without --overwrite" if overwrite else "the same command"
    return f"what is done is in {state}, and {same} goes on from there"


def _last_finite(out: Path, lr: float) -> str:
    state = out.with_name(f"{out.stem}.resume.pt")
    return f"; {state} holds the run as it last was finite, and --force-lr {lr / 10:g} goes on there" * state.exists()


def _cell(final: dict[str, Any], kind: str, split: str) -> str:
    error, loss = (final[f"{kind}_{split}_{what}"] for what in ("error", "loss"))
    return f"{loss:.4g}" if math.isnan(error) else f"{100 * error:.2f} % ({loss:.3f})"
