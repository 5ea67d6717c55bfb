"""The command line: which commands there are, registered by name so that `landscape --help` loads no torch."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import click

from . import __version__
from .errors import LandscapeError, UsageError
from .launch import follows, launched
from .spec import nearest

# Name, then the line that `landscape --help` prints; the command is landscape.commands.NAME.command.
COMMANDS = {
    "demo": "Take the tour: Hessians of a robust net and its non-robust twin, drawn.",
    "train": "Train a net adversarially and save its checkpoints.",
    "hessian": "Top Hessian eigenpairs of a checkpoint, each with its evidence.",
    "sharpness": "How sharp nets are: curvature and relative flatness over radii, compared over seeds.",
    "surface": "Loss and error on a line or a plane in weight space, clean and attacked.",
    "connect": "Loss and barriers along a trained curve and the line between two nets.",
    "scattering": "How perturbations and gradients turn as the weights move, beside what chance gives.",
    "evaluate": "Clean and robust error of checkpoints, or of an ensemble, under PGD, APGD and Square.",
    "traces": "Loss, full gradient and distance along a run's checkpoints, at several radii.",
    "theory": "Thresholds and phase diagram of the linear model on two classes of data.",
    "reproduce": "Make the paper's figures: train, analyse and draw, resumed where it was left.",
    "compare": "Compare groups of trained nets over their seeds: effect, interval, verdict.",
    "plot": "Draw any result.",
    "report": "Make one offline HTML page from a folder of results.",
    "doctor": "Examine a foreign net, its data and its claims before hours are spent.",
    "recheck": "Recompute the evidence of results from their checkpoints: PASS, or what differs.",
    "info": "Say what a .pt or .h5 file is, and how it was made.",
}
DISTRIBUTED = ("train", "hessian", "surface", "connect", "evaluate")  # what torchrun may start


class _Failure(click.ClickException):
    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


class Commands(click.Group):
    """The commands, imported when they are called; errors become one sentence and their exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of a first day's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command by name, or a sentence with the nearest names."""
        if name not in COMMANDS:
            raise click.UsageError(f"no command {name!r}; {nearest(name, COMMANDS)}", ctx)
        if name not in DISTRIBUTED and launched():
            raise click.UsageError(f"landscape {name} runs in one process; start it without torchrun", ctx)
        command: click.Command = importlib.import_module(f".commands.{name}", __package__).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a LandscapeError ends it with its sentence, an interruption with 130."""
        try:
            with _terminable():
                return super().invoke(ctx)
        except (LandscapeError, click.UsageError) as error:
            if follows() and isinstance(error, UsageError | click.UsageError):
                ctx.exit(2)  # all processes were given the same words: the first one says what is wrong with them
            if isinstance(error, click.UsageError):
                raise
            raise _Failure(str(error), error.exit_code) from error
        except KeyboardInterrupt as interruption:
            click.echo(str(interruption) or "interrupted", err=True)
            ctx.exit(128 + signal.SIGINT)
        except Exception as error:
            # Without torch nothing has been computed; to ask it about click's own exceptions would load it for --help.
            if "torch" in sys.modules and importlib.import_module(".memory", __package__).out_of_memory(error):
                raise _Failure("memory ran out; give a smaller --batch-size or --n-examples", 1) from error
            raise


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C: what is being written is cleaned up, and the exit code is 130."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt("terminated")

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Begin with: landscape demo",
)
@click.version_option(__version__, "--version", prog_name="landscape")
def main() -> None:
    """Measure the loss landscape of robust networks.

    \b
    landscape train --data digits --model lenet --eps 0.1 --out robust.pt
    landscape hessian robust.pt
    landscape plot results/robust.hessian-*.h5
    torchrun --nproc-per-node 4 -m landscape surface robust.pt    (so too: train, hessian, connect, evaluate)
    """


if __name__ == "__main__":
    sys.exit(main())
