"""The page without a browser: what is gathered, left out and red, and that nothing out of a file breaks out."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest

from landscape.errors import ResultError
from landscape.report import gather, gathering, make_page, page
from landscape.report.blob import Blob
from landscape.report.quality import quality
from landscape.report.views import CHARTS
from landscape.report.views.families import families
from landscape.report.words import script_json, shown, text
from landscape.results.caveats import caveats, concerns
from tests.report.folder import HOSTILE, results, write
from tests.results.made import hessian, with_examples, with_kinks
from tests.results.made_connect import connect
from tests.results.made_evaluate import schedules
from tests.results.made_surface import surface
from tests.results.made_traces import traces


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text within scripts."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._script = False
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._script = tag == "script"
        self.scripts += [""] if self._script else []

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_page(*gather([write(tmp_path_factory.mktemp("results"))]), title="<b>Nets & co</b>")


def unpacked(document: str) -> tuple[dict, list[np.ndarray]]:
    """Return the page's data and arrays, undone as the page undoes them."""
    scripts = Elements(document).scripts
    data = json.loads(scripts[0])
    stream, start, arrays = zlib.decompress(base64.b64decode(scripts[1])), 0, []
    for code, shape in data["arrays"]:
        width, count = int(code[1]), int(np.prod(shape))
        part = np.frombuffer(stream[start : start + width * count], np.uint8).reshape(width, count)
        arrays.append(np.ascontiguousarray(part.T).view(f"<{code}").reshape(shape))
        start += width * count
    assert start == len(stream)
    return data, arrays


def test_nothing_out_of_a_file_becomes_an_element_or_a_script(document: str) -> None:
    elements = Elements(document)
    assert [tag for tag, _ in elements.found].count("script") == 4
    assert not [attrs for tag, attrs in elements.found if tag == "img" and attrs.get("src") == "x"]
    assert not [name for _, attrs in elements.found for name in attrs if name.startswith("on")]
    assert ("button", HOSTILE) in [(tag, attrs.get("data-copy")) for tag, attrs in elements.found]
    assert "<title>&lt;b&gt;Nets &amp; co&lt;/b&gt;</title>" in document


def test_the_policy_allows_the_page_s_two_scripts_and_no_network(document: str) -> None:
    elements = Elements(document)
    policy = next(attrs["content"] for tag, attrs in elements.found if attrs.get("http-equiv"))
    assert policy is not None
    library = gzip.decompress(base64.b64decode(elements.scripts[2]))
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    hashes = [
        base64.b64encode(hashlib.sha256(code).digest()).decode() for code in (library, elements.scripts[3].encode())
    ]
    assert allowed == hashes
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"connect-src|unsafe-eval|https?:", policy)
    fetching = [attrs for _, attrs in elements.found if str(attrs.get("src", "")).startswith("http")]
    assert not fetching


def test_every_number_of_a_surface_is_in_the_page_bit_for_bit(document: str) -> None:
    data, arrays = unpacked(document)
    made = results()
    for entry in data["surfaces"]:
        result = made[data["results"][entry["result"]]["name"]]
        for name, place in entry["grids"].items():
            np.testing.assert_array_equal(arrays[place], result.arrays[name])
    names = [one["name"] for one in data["results"]]
    runs = next(chart for chart in data["charts"] if chart["title"] == "Training runs")
    losses = [one for one in runs["series"] if one["panel"] == 0]
    assert sorted(names[one["result"]] for one in losses) == ["run0", "run1"]
    for one in losses:
        np.testing.assert_array_equal(arrays[one["y"]], made[names[one["result"]]].arrays["loss"])


def test_every_kind_has_its_charts(document: str) -> None:
    titles = [chart["title"] for chart in unpacked(document)[0]["charts"]]
    assert titles == [
        "Top of the spectrum", "Spectral density", "Training runs", "Along curve and line", "Barriers",
        "Error against the radius", "Scattering of all nets", "Scattering of one net", "Curvature",
        "Rise at random shifts", "Rise at the worst shifts",
    ]  # fmt: skip
    assert all(chart["series"] for chart in unpacked(document)[0]["charts"])


def test_further_numbers_of_a_hessian_have_charts(tmp_path: Path) -> None:
    hessian(**with_examples()).save(tmp_path / "a.h5")
    hessian(**with_kinks()).save(tmp_path / "b.h5")
    sources, left = gather([tmp_path])
    assert not left
    titles = [chart["title"] for chart in unpacked(make_page(sources))[0]["charts"]]
    assert titles == ["Top of the spectrum", "An adversary that attacks anew", "The examples behind λ₁"]


def test_evaluations_are_summed_up_over_seeds(tmp_path: Path) -> None:
    for seed, result in enumerate(schedules({"constant": (300, 340, 320), "linear": (200, 210, 220)})):
        result.save(tmp_path / f"seed{seed}.h5")
    document = make_page(*gather([tmp_path]))
    (table,) = re.findall(r'<table id="seeds-0".*?</table>', document)
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr>")[2:]]
    assert rows == [
        ["eps_schedule constant", "3", "0", "1.00(0)", "32.0(2.0)", "32.0(2.0)"],
        ["eps_schedule linear", "3", "0", "1.00(0)", "21.0(1.0)", "21.0(1.0)"],
    ]


def test_families_are_told_apart_by_words() -> None:
    ways = [(0.1, "constant"), (0.1, "linear"), (0.2, "linear")]
    runs = [traces(eps=eps, seed=seed, schedule=way) for eps, way in ways for seed in (0, 1)]
    found = families([*runs, traces(eps=0.1, seed=1)])
    assert [(family.label, len(family.members)) for family in found] == [
        ("ε = 0.1, constant ε (3 runs)", 3), ("ε = 0.1, linear ε (2 seeds)", 2), ("ε = 0.2 (2 seeds)", 2),
    ]  # fmt: skip


def test_a_kind_without_a_view_has_a_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CHARTS, "sharpness")
    monkeypatch.delitem(page.TITLES, "sharpness")
    monkeypatch.setattr(gathering, "ORDER", tuple(kind for kind in gathering.ORDER if kind != "sharpness"))
    results()["sharp"].save("sharp.h5")
    document = make_page(*gather([Path("sharp.h5")]))
    (chart,) = unpacked(document)[0]["charts"]
    assert [panel["label"] for panel in chart["panels"]][:2] == ["loss (nats)", "loss_se (nats)"]
    assert '<h2 id="head-sharpness">Sharpness</h2>' in document


def test_a_text_is_safe_in_html_and_in_scripts() -> None:
    assert text("\"'<>&") == "&quot;&#x27;&lt;&gt;&amp;"
    assert shown("a\u202eb\x00") == "a\\u202eb\\x00"
    hostile = "</script><!--\u2028&"
    packed = script_json({"a": hostile, "b": float("nan"), "c": [np.inf, 1.5]})
    assert not set(packed) & set("<>&\u2028")
    assert json.loads(packed) == {"a": hostile, "b": None, "c": [None, 1.5]}


def test_arrays_keep_their_bits_and_are_held_once() -> None:
    blob = Blob()
    values = np.array([1 / 3, -0.0, np.nan, np.inf, 5e-324])
    first, second, third = blob.add(values), blob.add(np.array([1, 2])), blob.add(values.copy())
    assert (first, second, third) == (0, 1, 0)
    assert blob.index == [["f8", [5]], ["f8", [2]]]
    stream = np.frombuffer(zlib.decompress(base64.b64decode(blob.text)), np.uint8)
    np.testing.assert_array_equal(stream[:40].reshape(8, 5).T.copy().view("<f8").ravel(), values)
    assert blob.add(np.array([3, 4], np.uint8)) == 2
    assert blob.index[2] == ["u1", [2]]


def test_an_empty_folder_says_what_to_make(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="holds no result .*; make one first: landscape hessian digits/eps0.1"):
        gather([tmp_path])
    with pytest.raises(ResultError, match=r"gone is not there; name a folder of results"):
        gather([tmp_path / "gone"])


def test_files_of_other_versions_and_other_things_are_left_out_with_the_reason(tmp_path: Path) -> None:
    hessian().save(tmp_path / "good.h5")
    hessian().save(tmp_path / "newer.h5")
    with h5py.File(tmp_path / "newer.h5", "r+") as file:
        file.attrs["schema_version"] = 99
    (tmp_path / "text.h5").write_text("no HDF5")
    (tmp_path / "empty.h5").touch()
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1.0
    sources, left = gather([tmp_path])
    assert [source.name for source in sources] == ["good"]
    reasons = {one.path.name: one.reason for one in left}
    assert reasons["newer.h5"].startswith("has schema 99; wanted 1")
    assert reasons["text.h5"].startswith("is no HDF5 file")
    assert reasons["empty.h5"].startswith("is empty")
    assert "no result of ours" in reasons["foreign.h5"]
    made = make_page(sources, left)
    assert all(text(reason) in made for reason in reasons.values())
    assert '1 result: 1 hessian. No cautions. <a href="#left">4 files left out</a>.' in made


def test_a_result_that_fits_its_kind_and_makes_no_sense_is_left_out(tmp_path: Path) -> None:
    hessian().save(tmp_path / "good.h5")
    surface(change={(0, 0, 0): (np.nan, 3)}).save(tmp_path / "odd.h5")  # skipped, and no cap
    surface(x=(-1.0, 0.0, 0.0)).save(tmp_path / "bent.h5")
    made = make_page(*gather([tmp_path]))
    assert "odd.h5</code>: cannot be shown (KeyError" in made
    assert "bent.h5</code>: cannot be shown (ResultError: x are no numbers in growing order" in made
    assert unpacked(made)[0]["surfaces"] == []


def test_two_results_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        hessian().save(tmp_path / folder / "net.h5")
    hessian().save(tmp_path / "other.h5")
    (tmp_path / "link.h5").symlink_to(tmp_path / "other.h5")
    sources, _ = gather([tmp_path, tmp_path / "a" / "net.h5"])
    assert [source.name for source in sources] == ["a/net", "b/net", "link"]


def test_a_result_too_large_is_thinned_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST", 40)
    monkeypatch.setattr(gathering, "FEWEST", 40)
    monkeypatch.setattr(gathering, "SIDE", 5)
    surface(x=np.linspace(-1, 1, 13), y=np.linspace(-1, 1, 3)).save(tmp_path / "plane.h5")
    traces(steps=90).save(tmp_path / "run.h5")
    plane, run = gather([tmp_path])[0]
    assert plane.thinned == "each 3rd of 13 values of x"
    assert 0.0 in plane.result.arrays["x"]  # the net stays
    assert plane.result.arrays["loss"].shape == (2, 3, 5)
    assert run.thinned == "each 3rd of 90 rows"
    np.testing.assert_array_equal(run.result.arrays["step"], np.arange(0, 90, 3))
    made = make_page([plane, run])
    assert "Thinned for this page: each 3rd of 90 rows." in made
    assert "thinned to each 3rd of 13 values of x" in made


def test_unfinished_work_is_named_with_its_progress(tmp_path: Path) -> None:
    hessian().save(tmp_path / "good.h5")
    hessian(status="partial").save(tmp_path / "part.h5")
    (tmp_path / "x.h5.partial").write_bytes(b"")
    sources, left = gather([tmp_path])
    assert [source.name for source in sources] == ["good", "part"]
    assert quality(sources[1].result)["status"].bad
    assert [one.path.name for one in left] == ["x.h5.partial"]


def test_red_cells_are_the_caveats_and_nothing_else() -> None:
    for name, result in results().items():
        cells = quality(result)
        said = "; ".join(cell.text for cell in cells.values() if cell.bad)
        assert all(clause in said for clause in caveats(result)), name
        assert sum(cell.bad for cell in cells.values()) == len({about for about, _ in concerns(result)}), name


def test_the_box_tells_residuals_errors_gap_and_policy(document: str) -> None:
    made = results()
    assert quality(made["h0"])["residuals"].text == "0.0004 of |λ| (asked 0.001)"
    assert quality(made["h0"])["errors"].text == "up to 6 % of |λ|"
    assert quality(made["net-a"])["attack"].text.startswith("gap up to 0.012 nats")
    assert quality(made["net-a"])["finite"].text == "2 of 48 values not finite"
    assert quality(made["net-b"])["attack"].text == "attack not audited"
    assert quality(connect(status="partial"))["status"].bad
    assert '<td class="bad">none; results differ: none, recalibrated</td>' in document


def test_the_same_results_give_the_same_page(tmp_path: Path) -> None:
    hessian().save(tmp_path / "a.h5")
    first, second = (re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", make_page(*gather([tmp_path]))) for _ in range(2))
    assert first == second
