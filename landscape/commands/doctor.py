"""`landscape doctor CKPT`: a net, its data and its claims examined before hours are spent on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import options
from ..terminal import print_pairs, progress, say, say_next

n_examples = click.option("--n-examples", type=options.Count(), help="Examples to look at.  [default: at most 500]")


@click.command(epilog="Example: landscape doctor digits/eps0.1")
@click.argument("checkpoint", metavar="CKPT")
@options.together(options.model, options.key, options.data, options.data_dir, options.split, n_examples)
@options.together(options.eps, options.norm, options.attack, options.loss, options.seed, options.device)
@options.batch_size
@options.volume
@click.pass_context
def command(
    ctx: click.Context,
    /,
    checkpoint: str,
    verbose: bool,
    quiet: bool,
    attack: str,
    n_examples: int | str | None,
    **settings: Any,
) -> None:
    """Examine CKPT: is it the net, with the data and the preprocessing, that its numbers are meant to be of?

    Normalisation inside or outside, the same answer at every call and in every batch, BatchNorm statistics, dead units,
    the checkpoint's own claim, attack strength and masked gradients, float32 noise, time and memory of the commands.
    Exit code 1: a check says stop.
    """
    from ..checkup import LOOK, OK, STOP, doctor
    from ..data import load_data
    from ..errors import UsageError
    from .subject import Target, choose_budget, load_subject

    target = Target(n_examples=n_examples, **settings)
    with progress(quiet=quiet, verbose=verbose, prefix=f"{checkpoint}: ") as report:
        subject = load_subject(checkpoint, target, report, try_out=False)
        norm = target.norm
        eps: float | None = None  # a foreign net may not say; everything but the attack is examined then
        try:
            eps, norm = choose_budget(subject, target.eps, target.norm)
        except UsageError:
            if target.eps is not None:
                raise
        data_dir: Path | None = target.data_dir
        training = subject.checkpoint.training
        if training.get("loss") != subject.loss_spec:  # its claims are of another loss
            training = {**training, "final": None}
        findings = doctor(
            subject.model,
            subject.data,
            eps=eps,
            norm=norm,
            attack=attack,
            training=training,
            other=lambda split: load_data(subject.data.spec, split=split, data_dir=data_dir, targets=subject.targets),
            n_examples=n_examples,
            seed=target.seed,
            batch_size=target.batch_size,
            loss=subject.loss,
            progress=report,
        )
    stopped = any(finding.verdict == STOP for finding in findings)
    if not quiet:
        data = subject.data
        say(f"{subject.checkpoint.name} ({subject.model_spec}) on {data.spec}, {data.split} split")
        print_pairs([(finding.check, f"{finding.verdict:<4}  {finding.found}") for finding in findings])
        for finding in findings:
            if finding.verdict != OK:
                say(f"{finding.check}, {finding.verdict}: {finding.advice}")
        if stopped:
            say("FAIL: mend what says stop before hours are spent")
        else:
            looks = sum(finding.verdict == LOOK for finding in findings)
            say("PASS" if not looks else f"PASS, with {looks} to look at")
            radius = [] if target.eps is None else ["--eps", target.eps]
            say_next("landscape", "hessian", checkpoint, *target.words, *radius)
    ctx.exit(1 if stopped else 0)
