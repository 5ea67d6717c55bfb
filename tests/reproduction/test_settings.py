from __future__ import annotations

from pathlib import Path

import pytest

from landscape.errors import LandscapeError, UsageError
from landscape.reproduction import Plan, read_profile
from landscape.reproduction.settings import TARGETS, shipped

NETS = """
[tiny.nets]
run = "train"
over = {eps = ["0", "0.1"], seed = [0, 1]}
out = "nets/eps{eps}-seed{seed}.pt"
options = {data = "digits", model = "lenet:width=1", eps = "{eps}", seed = "{seed}"}
"""
FIGURE = """
[tiny.gradients]
draw = "fig2_gradients"
figure = "fig2"
takes = ["nets/*.traces.h5"]
out = "fig2.pdf"
"""


def plan(tmp_path: Path, text: str, profile: str = "tiny") -> Plan:
    path = tmp_path / "paper.toml"
    path.write_text(text)
    return Plan.of(read_profile(path, profile))


@pytest.mark.parametrize("profile", ["digits", "mnist", "paper"])
def test_every_shipped_profile_is_what_the_commands_take_and_draws_every_figure(profile: str) -> None:
    """Each option of each of its hundreds of jobs is parsed by the real commands: `Plan.of` does it."""
    found = Plan.of(read_profile(shipped(), profile))
    assert {job.stage.figure for job in found.drawings(["all"])} == set(TARGETS)
    assert found.needed(found.drawings([])) == list(found.jobs)  # nothing is there that no figure stands on
    assert all(job.stage.seconds > 0 for job in found.jobs)


def test_a_grid_becomes_jobs_and_a_star_takes_all_that_fit(tmp_path: Path) -> None:
    found = plan(tmp_path, NETS + FIGURE)
    nets = [job for job in found.jobs if job.stage.name == "nets"]
    assert [job.out for job in nets] == [f"nets/eps{eps}-seed{seed}.pt" for eps in ("0", "0.1") for seed in (0, 1)]
    assert nets[2].typed == (
        "landscape train --data digits --model lenet:width=1 --eps 0.1 --seed 0 --out nets/eps0.1-seed0.pt"
    )
    (figure,) = found.drawings(["fig2"])
    assert figure.made_by == [job.out for job in nets]
    assert figure.takes[0] == "nets/eps0-seed0.traces.h5"
    assert figure.typed.startswith("python figures/fig2_gradients.py nets/eps0-seed0.traces.h5 ")
    assert figure.typed.endswith(" -o fig2.pdf")


def test_tables_in_an_axis_bring_several_values_and_options(tmp_path: Path) -> None:
    text = NETS.replace("over = {", 'over = {arm = [{arm = "a"}, {arm = "b", options = {lr = 0.1}}], ')
    jobs = plan(tmp_path, text.replace("nets/", "nets/{arm}-")).jobs
    assert len(jobs) == 8
    assert ["--lr" in job.words for job in jobs] == [False] * 4 + [True] * 4


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("adequacy = false", ["--no-adequacy"]),  # its default is true
        ("adequacy = true", ["--adequacy"]),
        ("cascade = false", []),
        ("cascade = true", ["--cascade"]),
    ],
)
def test_a_flag_is_set_or_cleared_as_the_command_wants_it(tmp_path: Path, setting: str, words: list[str]) -> None:
    text = f'[tiny.tests]\nrun = "evaluate"\ntakes = ["digits/eps0"]\nout = "x.h5"\noptions = {{{setting}}}\n'
    (job,) = plan(tmp_path, text).jobs
    assert [*job.words] == ["landscape", "evaluate", "digits/eps0", *words, "--out", "x.h5"]
    assert job.inputs == []  # a net that ships


def test_a_stage_like_another_takes_what_is_not_given(tmp_path: Path) -> None:
    text = NETS + '[tiny.more]\nlike = "nets"\nout = "more/eps{eps}-seed{seed}.pt"\noptions = {lr = 0.1}\n'
    one, other = (plan(tmp_path, text).jobs[place] for place in (0, 4))
    assert other.typed == one.typed.replace(" --out nets/", " --lr 0.1 --out more/")


def test_what_a_figure_needs_is_no_more_than_that(tmp_path: Path) -> None:
    text = NETS + FIGURE + '[tiny.curve]\ndraw = "fig1_theory"\nfigure = "fig1"\nout = "fig1.pdf"\n'
    found = plan(tmp_path, text)
    assert [job.out for job in found.needed(found.drawings(["fig1"]))] == ["fig1.pdf"]
    assert len(found.needed(found.drawings(["fig2"]))) == 5


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seed = [0, 1]", "seeds = [0, 1]", "tiny.nets names {'seed'} in 'nets/eps{eps}-seed{seed}.pt', which"),
        ('model = "lenet', 'modle = "lenet', "train is given 'modle', which it does not take; did you mean model"),
        ('"{eps}", seed', '"{eps}", out = "x.pt", seed', "landscape train is given 'out', the workflow's own"),
        ('eps = "{eps}"', 'eps = "{eps}", epochs = "many"', "tiny.nets: Invalid value for '--epochs': 'many' is not"),
        ('eps = "{eps}"', 'norm = "linf"', "tiny.nets: Missing option '--eps'"),
        ('run = "train"', 'run = "tran"', "tiny.nets runs 'tran', which is no command; did you mean train"),
        ('run = "train"', "", "tiny.nets wants run (a landscape command) or draw"),
        ("out =", "outs =", "tiny.nets has 'outs', which no stage takes; did you mean out"),
        ("-seed{seed}", "", "tiny.nets writes nets/eps0.pt twice; name all its axes in out"),
        ('draw = "fig2_gradients"', 'draw = "fig9"', "gradients draws with 'fig9', which is no script in figures/"),
        ('figure = "fig2"', 'figure = "fig9"', "draws for the figure 'fig9'; wanted fig1, fig2"),
        ("*.traces.h5", "*.trace.h5", "tiny.gradients takes nets/*.trace.h5, which no earlier stage writes"),
        ("[tiny.nets]", "[tiny]\nepochs = 3\n[tiny.nets]", "tiny.epochs is a setting that nothing takes"),
        ("[tiny.gradients]", '[tiny.gradients]\nlike = "net"', "tiny.gradients is like 'net', which is no earlier"),
        ('options = {data', 'option = {data', "tiny.nets has 'option', which no stage takes"),
    ],
)  # fmt: skip
def test_what_no_command_takes_is_named_before_anything_runs(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in NETS + FIGURE
    with pytest.raises(UsageError) as caught:
        plan(tmp_path, (NETS + FIGURE).replace(old, new, 1))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_profile_or_figure_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no profile 'tinny' in paper.toml; did you mean tiny"):
        plan(tmp_path, NETS, "tinny")
    with pytest.raises(UsageError, match="no figure 'fig7' in the profile tiny; did you mean fig2"):
        plan(tmp_path, NETS + FIGURE).drawings(["fig7"])


def test_files_that_are_no_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(LandscapeError, match=r"cannot be read \(No such file or directory\); give another --settings"):
        read_profile(tmp_path / "none.toml", "digits")
    with pytest.raises(LandscapeError, match=r"paper.toml is no TOML \("):
        plan(tmp_path, "[tiny")
