"""The workflow in Snakemake: what is stale, what is made again, what a kill leaves. Skipped without Snakemake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from landscape.errors import LandscapeError
from landscape.reproduction import Plan, journal, read_profile
from landscape.reproduction.drawing import draw_partial
from landscape.reproduction.forecast import forecast
from landscape.reproduction.workflow import Run, check_installed
from tests.results.made import hessian

TEXT = """
[tiny.nets]
run = "train"
over = {eps = ["0", "0.1"]}
out = "nets/eps{eps}.pt"
seconds = 3
[tiny.nets.options]
data = "digits:train=256"
model = "lenet:width=1"
eps = "{eps}"
epochs = EPOCHS
batch-size = 32
attack = "pgd:steps=1,rel_step=1"
probe-every = 0

[tiny.gradients]
draw = "fig2_gradients"
figure = "fig2"
takes = ["nets/*.traces.h5"]
out = "fig2.pdf"
seconds = 1

[tiny.curve]
draw = "fig1_theory"
figure = "fig1"
out = "fig1.pdf"

[tiny.wide]
like = "curve"
out = "fig1-wide.pdf"
options = {single = false}

[tiny.spectra]
draw = "fig3_hessian"
figure = "fig3"
takes = ["OWN"]
out = "fig3.pdf"
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return of(tmp_path, epochs=1)


def of(tmp_path: Path, *, epochs: int) -> Run:
    own = tmp_path / "own.h5"
    if not own.exists():
        hessian().save(own)
    settings = tmp_path / "tiny.toml"
    settings.write_text(TEXT.replace("EPOCHS", str(epochs)).replace("OWN", str(own)))
    (tmp_path / "run").mkdir(exist_ok=True)
    return Run(Plan.of(read_profile(settings, "tiny")), settings, tmp_path / "run", cores=2)


def needs_snakemake() -> None:
    pytest.importorskip("snakemake", reason="the extra `reproduce` is not installed")


def landscape(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "landscape", "reproduce", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )


def test_a_changed_input_and_changed_words_make_their_own_figures_stale_and_no_other(run: Run, tmp_path: Path) -> None:
    needs_snakemake()
    outs = ["fig1.pdf", "fig1-wide.pdf", "fig3.pdf"]
    assert run.execute(outs) == 0
    assert [(run.folder / out).exists() for out in outs] == [True] * 3
    hessian(top=50.0).save(run.settings.with_name("own.h5"), overwrite=True)
    run.settings.write_text(run.settings.read_text().replace("single = false", "single = true"))
    where = ("--settings", str(run.settings), "--profile", "tiny", "--out", str(run.folder))
    told = landscape(tmp_path, "fig1", "fig3", *where, "--dry-run")
    assert told.returncode == 0, told.stderr
    assert "2 of 3 jobs are to be done: about " in told.stdout
    assert "python figures/fig1_theory.py --single -o fig1-wide.pdf" in told.stdout
    assert f"python figures/fig3_hessian.py {tmp_path / 'own.h5'} -o fig3.pdf" in told.stdout
    assert "-o fig1.pdf" not in told.stdout


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """Kill -9 to all of a run's processes in the midst of a training, then the same again."""
    needs_snakemake()
    run = of(tmp_path, epochs=12)
    state = run.folder / "nets/eps0.1.resume.pt"
    process = subprocess.Popen(
        run.command(["nets/eps0.1.pt"]), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    began = time.monotonic()
    while not state.exists() and process.poll() is None and time.monotonic() - began < 600:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert state.exists() and not (run.folder / "nets/eps0.1.pt").exists()
    assert run.execute(["nets/eps0.1.pt"]) == 0
    text = (run.folder / "logs/nets/eps0.1.pt.log").read_text()
    assert text.count("$ landscape train ") == 2
    assert (run.folder / "nets/eps0.1.pt").exists() and not state.exists()
    # It did go on: what began anew says so in its own command, which the traces keep.
    from landscape import load

    command = str(load(run.folder / "nets/eps0.1.traces.h5").attrs["command"])
    assert "--overwrite" not in command


def test_a_figure_of_which_inputs_are_missing_is_drawn_and_says_so(run: Run) -> None:
    (job,) = run.plan.drawings(["fig3"])
    more = run.folder.parent / "gone.h5"
    words = (*job.words[:3], str(more), *job.words[3:])
    partial = type(job)(job.stage, job.out, (*job.takes, str(more)), (None, None), words)
    assert draw_partial(run, partial) == (
        f"fig3.pdf is drawn from 1 of its 2 inputs ({more} missing), and says so",
        False,
    )
    assert '"partial: 1 of 2 inputs"' in (run.folder / "fig3.json").read_text()
    (whole,) = run.plan.drawings(["fig2"])
    (run.folder / "nets").mkdir()
    (run.folder / "nets/eps0.traces.h5").touch()  # of a run that has not ended
    assert draw_partial(run, whole) == ("fig2.pdf cannot be drawn: none of its 2 inputs is there", False)


def test_an_output_whose_job_failed_is_neither_taken_nor_passed_over(run: Run) -> None:
    """As on a disk that fills between the two files of a training, where Snakemake can mark nothing either."""
    for job in run.plan.jobs[:2]:
        for path in (run.folder / job.out, run.folder / job.out.replace(".pt", ".traces.h5")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("half of it")
        log = run.folder / job.log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"{journal.head(job.typed)}\n")
    first, second, drawing = run.plan.jobs[:3]
    with (run.folder / first.log).open("a") as log_file:
        log_file.write(f"{journal.failed(1)}\n")
    words = run.command([drawing.out])
    assert words[words.index("--forcerun") + 1 :][:2] == [first.out, second.out]
    told, whole = draw_partial(run, drawing)
    assert told == "fig2.pdf cannot be drawn: none of its 2 inputs is there" and not whole
    for job in (first, second):
        with (run.folder / job.log).open("a") as log_file:
            log_file.write(f"{journal.done(1.0, 1.0)}\n")
    assert "--forcerun" not in run.command([drawing.out])


def test_files_of_another_version_are_named(run: Run) -> None:
    job = run.plan.by_out["nets/eps0.pt"]
    log = run.folder / job.log
    log.parent.mkdir(parents=True)
    log.write_text(f"$ {job.typed}  # landscape 0.0.1\n{journal.done(1.0, 2.0)}\n")
    assert run.older(run.plan.jobs) == []  # what is not there is made by this one
    (run.folder / "nets").mkdir()
    (run.folder / job.out).touch()
    assert run.older(run.plan.jobs) == [(job, "0.0.1")]


def test_a_forecast_takes_the_seconds_of_finished_jobs_and_waits_for_the_longest_chain(run: Run) -> None:
    nets_and_figure = run.plan.needed(run.plan.drawings(["fig2"]))
    first = forecast(nets_and_figure, run.plan, run.folder, cores=2)
    assert (first.jobs, first.measured, first.seconds, first.wall) == (3, 0, 7.0, 4.0)  # 3 + 3 + 1; 3 before 1
    log = run.folder / "logs/nets/eps0.pt.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"{journal.head('landscape train')}\n{journal.done(9.0, 10.0)}\n")
    second = forecast(nets_and_figure, run.plan, run.folder, cores=1)
    assert (second.measured, second.seconds, second.wall) == (2, 21.0, 21.0)


def test_one_run_at_a_time_in_a_folder(run: Run) -> None:
    with run._alone(), pytest.raises(LandscapeError, match="another run is at work in .*; wait for it, or end it"):
        run.execute(["fig1.pdf"])


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "snakemake" else object())
    with pytest.raises(LandscapeError, match="runs on Snakemake, which is not installed; type: pip install"):
        check_installed()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name == "snakemake" else None)
    with pytest.raises(
        LandscapeError, match="no executor 'slurm' here; type: pip install snakemake-executor-plugin-slurm"
    ):
        check_installed("slurm")


def test_a_figure_or_profile_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    wrong = landscape(tmp_path, "fig7")
    assert wrong.returncode == 2
    assert "no figure 'fig7' in the profile digits; did you mean" in wrong.stderr
    assert not (tmp_path / "reproduce").exists()
