"""A training run from specs to files: NAME.pt (or .safetensors), the epochs that are kept, and NAME.traces.h5."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from ..data import ImageData, load_data
from ..distributed import ALONE, Group
from ..errors import LandscapeError, UsageError
from ..losses import cross_entropy, read_loss
from .accuracy import Progress
from .final import final_errors
from .outputs import Outputs
from .recipe import Recipe
from .session import SECONDS_BETWEEN_WRITES, Session, TrainingRun
from .tracing import Tracing

__all__ = ["TRACING", "TrainingRun", "final_errors", "run"]

TRACING = Tracing()


def run(
    recipe: Recipe,
    *,
    model: str,
    data: str,
    out: str | Path,
    save_epochs: Iterable[int] = (),
    keep_best: bool = False,
    tracing: Tracing | None = TRACING,
    loss: str | None = None,
    data_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
    overwrite: bool = False,
    resume: bool = False,
    force_lr: float | None = None,
    save_every: float = SECONDS_BETWEEN_WRITES,
    command: str = "landscape.training.run",
    progress: Progress | None = None,
    group: Group = ALONE,
) -> TrainingRun:
    """Train the net that a spec names on the data that a spec names, and save it to `out` (NAME.pt, or .safetensors).

    Initial weights are kept as NAME-epoch0.pt, those after each of `save_epochs` and of the recipe's periods as
    NAME-epochN.pt, an average (`recipe.ema`) as NAME-ema.pt; with `keep_best` NAME-best.pt is the epoch of the lowest
    robust error on the examples that the recipe holds out of training. NAME.traces.h5 tells what each mini-batch was
    like (`tracing` None: no such file). `loss` is a SPEC (None: the cross-entropy); the `training` entry records it.

    Every `save_every` seconds, at the ends of epochs and when it is interrupted, the run is saved whole as
    NAME.resume.pt, and the same call goes on from there: what it writes in the end is what an uninterrupted run writes,
    bit for bit (`resume` insists that there is such a file, `overwrite` begins anew, `force_lr` goes on with another
    learning rate and says so in the `training` entry). No checkpoint holds a time.

    Of a `group` every process makes this call; the first alone judges nets and writes files, and the others return a
    run without any. A run may go on with another number of processes; the `training` entry then says so.

    Raises LandscapeError before any work where a file is in the way, or the unfinished run is one of other settings;
    UsageError for an epoch that the run does not reach; before a file is written, UsageError for what `check_trainable`
    refuses and for a net that is not made for the data.
    """
    outputs = Outputs(
        out,
        [*save_epochs, *recipe.periods],
        last=recipe.epochs,
        traces=tracing is not None,
        best=keep_best,
        ema=recipe.ema is not None,
    )
    if keep_best and recipe.holdout == 0:
        raise UsageError(
            "the best epoch is chosen on examples that training does not see, and never on the test split; "
            "give --holdout N too, such as --holdout 1000"
        )

    def look() -> bool:
        resuming = outputs.resume.exists() and not overwrite
        for word, given in (("--resume", resume), ("--force-lr", force_lr is not None)):
            if given and not resuming:
                why = "--overwrite begins anew" if overwrite else f"{outputs.resume} is not there"
                raise LandscapeError(f"{word} goes on with an unfinished run, and {why}; leave {word} out")
        outputs.check(overwrite=overwrite or resuming)
        return resuming

    measured = read_loss(loss)
    targets = measured is not cross_entropy

    def load() -> tuple[ImageData, ImageData | None]:
        train = load_data(data, split="train", data_dir=data_dir, progress=progress, targets=targets)
        return train, _load_test(data, data_dir, progress, targets)

    resuming = group.from_first(look)
    train_data, test_data = group.in_turn(load)
    session = group.together(
        lambda: Session(
            recipe.resolved(train_data.spec),
            model,
            train_data,
            test_data,
            outputs,
            tracing,
            device=device,
            overwrite=overwrite,
            save_every=save_every,
            command=command,
            progress=progress,
            group=group,
            loss=measured,
            loss_spec=loss if targets else None,
        )
    )
    group.agree({"the device": torch.device(device).type, **session.settings})
    if resuming:
        session.resume(force_lr=force_lr)
    return session.run()


def _load_test(data: str, data_dir: str | Path | None, progress: Progress | None, targets: bool) -> ImageData | None:
    try:
        return load_data(data, split="test", data_dir=data_dir, progress=progress, targets=targets)
    except UsageError:  # a user's own data may have no test split; the training split was read, so the spec is good
        return None
