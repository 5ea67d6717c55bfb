"""The report in a real browser: nothing is fetched, nothing complains, what it shows and exports is what files hold.

One browser opens one page, which all tests share; a test leaves what it changed as it found it.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from landscape.report import gather, make_page
from tests.report.folder import write

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# For root in a container, and for its small /dev/shm.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]


@dataclass
class Opened:
    """A page that is open, the folder that it shows, and all that the browser had to say."""

    page: Any
    folder: Path
    file: Path
    browser: Any
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def run(self, script: str, value: Any = None) -> Any:
        """Return what a JavaScript expression, or a function of `value`, comes to."""
        return self.page.evaluate(script, value)

    def values(self, name: str, array: str) -> np.ndarray:
        """Return an array of a result file, as h5py reads it."""
        with h5py.File(self.folder / f"{name}.h5") as file:
            return np.asarray(file[array])

    def saved(self, selector: str) -> str:
        """Return the text of the file that a click saves."""
        with self.page.expect_download() as caught:
            self.page.locator(selector).click()
        return Path(caught.value.path()).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """The page, open in a browser whose network is off."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        reason = f"needs a browser, one of {', '.join(BROWSERS)}: apt-get install chromium"
        if os.environ.get("LANDSCAPE_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install '.[test]'")
    folder = write(tmp_path_factory.mktemp("results"))
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(make_page(*gather([folder])), encoding="utf-8")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        context = browser.new_context(offline=True, viewport={"width": 1000, "height": 700}, color_scheme="light")
        tab = context.new_page()
        shown = Opened(tab, folder, file, browser)
        tab.on("request", lambda request: shown.asked.append(request.url))
        tab.on("console", lambda message: shown.said.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: shown.said.append(f"error: {error}"))
        tab.goto(file.as_uri())
        tab.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
        tab.set_default_timeout(20_000)
        tab.wait_for_selector("#surface-view[data-drawn]")
        tab.locator('[data-part="reliefs"]').uncheck()  # drawn without a GPU, they take most of the time
        yield shown
        browser.close()


def reading(opened: Opened, side: str = "a") -> str:
    return str(opened.page.locator(f'[data-part="reading-{side}"]').text_content())


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def told(text: str, name: str) -> float:
    found = re.search(rf"{name}(?: =)? ([−\d.e]+)", text)
    assert found is not None, text
    return number(found[1])


def to_digits(value: float) -> float:
    return float(f"{value:.6g}")


def slide(opened: Opened, part: str, value: int) -> None:
    """Move a slider as a person does, and wait until all is drawn."""
    script = """async ([part, value]) => {
        const slider = document.querySelector(`[data-part="${part}"]`);
        slider.value = value;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        await window.views.surfaces.settled;
    }"""
    opened.run(script, [part, value])


def test_it_opens_without_a_request_or_a_complaint(opened: Opened) -> None:
    assert [url for url in opened.asked if not url.startswith(("data:", "blob:"))] == [opened.file.as_uri()]
    assert [line for line in opened.said if line.startswith("error")] == []
    assert opened.page.title() == "Landscape report"  # no script out of a file has run
    policy = opened.page.locator('meta[http-equiv="Content-Security-Policy"]').get_attribute("content")
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    blocked = opened.run("fetch('https://example.org/').then(() => 'fetched', () => 'refused')")
    assert blocked == "refused"
    opened.said.clear()  # the refusal is said on the console


def test_the_drawn_grid_is_the_file_s(opened: Opened) -> None:
    loss, status = opened.values("net-a", "loss"), opened.values("net-a", "status")
    slide(opened, "eps-a", 1)
    drawn = opened.run("document.querySelector('[data-part=\"contour-a\"]').data[0].z.map((row) => [...row])")
    known = np.isin(status[1], (1, 4)) & np.isfinite(loss[1])
    shown = np.array([[np.nan if value is None else value for value in row] for row in drawn])
    top = opened.run("window.views.surfaces.scale().top")
    inside = known & (loss[1] <= top)
    np.testing.assert_allclose(10 ** shown[inside], loss[1][inside], rtol=1e-12)
    assert np.isnan(shown[3, 5])  # not finite
    assert 10 ** shown[3, 0] > top  # skipped: beyond the cap


def test_hovering_tells_the_numbers_of_the_file(opened: Opened) -> None:
    slide(opened, "eps-a", 1)
    place = opened.run("""() => {
        const plot = document.querySelector('[data-part="contour-a"]');
        plot.scrollIntoView({ block: "center" });
        const { left, top } = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
        const { x, y } = plot.data[0];
        return [left + xaxis._offset + xaxis.d2p(x[4]), top + yaxis._offset + yaxis.d2p(y[2])];
    }""")
    opened.page.mouse.move(place[0] - 3, place[1] - 3)
    opened.page.mouse.move(*place)
    opened.page.wait_for_selector("#tip:not([hidden])")
    text = opened.page.locator("#tip").text_content()
    for name, array in (("loss", "loss"), ("error rate", "error_rate"), ("attack gap", "attack_gap")):
        assert told(text, name) == to_digits(opened.values("net-a", array)[1, 2, 4])
    assert told(text, "x") == to_digits(opened.values("net-a", "x")[4])
    opened.page.mouse.move(2, 2)


def test_the_slider_of_eps_changes_what_is_plotted_and_read(opened: Opened) -> None:
    losses, centre = opened.values("net-a", "loss"), (1, 2)
    grids, read = [], []
    for rung in (0, 1):
        slide(opened, "eps-a", rung)
        grids.append(opened.run("JSON.stringify(document.querySelector('[data-part=\"contour-a\"]').data[0].z)"))
        read.append(told(reading(opened), "loss"))
    assert grids[0] != grids[1]
    assert read == [to_digits(losses[rung][centre]) for rung in (0, 1)]


def test_metric_scale_and_cap_change_what_is_plotted(opened: Opened) -> None:
    z = "JSON.stringify(document.querySelector('[data-part=\"contour-a\"]').data[0].z)"
    seen = [opened.run(z)]
    opened.page.locator('[data-part="metric"]').select_option("error_rate")
    opened.page.locator('[data-part="log"]').uncheck()
    opened.run("window.views.surfaces.settled")
    seen.append(opened.run(z))
    rates = opened.values("net-a", "error_rate")[1]
    drawn = np.array([[np.nan if v is None else v for v in row] for row in opened.run(f"JSON.parse({z})")])
    np.testing.assert_array_equal(drawn[np.isfinite(drawn)], rates[np.isfinite(drawn)])
    opened.page.locator('[data-part="metric"]').select_option("loss")
    slide(opened, "cap", 40)
    seen.append(opened.run(z))
    assert len(set(seen)) == 3
    slide(opened, "cap", 100)
    opened.page.locator('[data-part="log"]').check()


def test_two_surfaces_share_levels_and_camera_and_their_difference_is_the_files(opened: Opened) -> None:
    opened.page.locator('[data-part="select-b"]').select_option(label="net-b")
    opened.run("window.views.surfaces.settled")
    a, b = opened.values("net-a", "loss")[1], opened.values("net-b", "loss")[1]
    drawn = opened.run("document.querySelector('[data-part=\"difference\"]').data[0].z.map((row) => [...row])")
    known = np.array([[value is not None for value in row] for row in drawn])
    np.testing.assert_array_equal(known, np.isin(opened.values("net-a", "status")[1], (1, 4)))
    np.testing.assert_array_equal(np.array(drawn, dtype=float)[known], (b - a)[known])
    levels = opened.run("""['a', 'b'].map((side) => {
        const { contours, zmin, zmax, colorscale } = document.querySelector(`[data-part="contour-${side}"]`).data[0];
        return JSON.stringify([contours.start, contours.end, contours.size, zmin, zmax, colorscale]);
    })""")
    assert levels[0] == levels[1]
    assert "A and B differ in " in opened.page.locator('[data-part="cautions"]').text_content()
    assert "BatchNorm" in opened.page.locator('[data-part="cautions"]').text_content()
    opened.page.locator('[data-part="reliefs"]').check()
    opened.run("window.views.surfaces.settled")
    turn = "document.querySelector('[data-part=\"relief-a\"]')"
    opened.run(f"Plotly.relayout({turn}, {{ 'scene.camera': {{ eye: {{ x: 0.3, y: 1.9, z: 0.7 }} }} }})")
    opened.page.wait_for_function(
        "Math.abs(document.querySelector('[data-part=\"relief-b\"]')._fullLayout.scene.camera.eye.y - 1.9) < 1e-6"
    )
    opened.page.locator('[data-part="reliefs"]').uncheck()
    opened.page.locator('[data-part="select-b"]').select_option("-1")
    opened.run("window.views.surfaces.settled")


def test_arrow_keys_move_the_point_and_say_what_is_there(opened: Opened) -> None:
    box = opened.page.locator('[data-part="contour-a"]')
    box.focus()
    before = told(reading(opened), "x")
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("ArrowUp")
    opened.run("window.views.surfaces.settled")
    text = reading(opened)
    x, y = opened.values("net-a", "x"), opened.values("net-a", "y")
    i = int(np.argmin(np.abs(x - before))) + 1
    assert told(text, "x") == to_digits(x[i])
    assert told(text, "y") == to_digits(y[2])
    assert told(text, "loss") == to_digits(opened.values("net-a", "loss")[1, 2, i])
    cut = opened.run("document.querySelector('[data-part=\"cut-x\"]').data.find((one) => one.name === '0.1').y")
    row = opened.values("net-a", "loss")[1, 2]
    np.testing.assert_array_equal(np.array([*(cut.values() if isinstance(cut, dict) else cut)]), row)
    opened.page.keyboard.press("ArrowLeft")
    opened.page.keyboard.press("ArrowDown")


def test_the_csv_of_a_surface_is_the_file(opened: Opened) -> None:
    rows = list(csv.DictReader(io.StringIO(opened.saved('[data-part="panel-a"] button:text-is("CSV")'))))
    for name in ("loss", "loss_se", "error_rate", "attack_gap", "status"):
        values = opened.values("net-a", name)
        read = np.array([float(row[name]) for row in rows]).reshape(values.shape)
        np.testing.assert_array_equal(read, values)
    assert [float(row["x"]) for row in rows[:6]] == opened.values("net-a", "x").tolist()
    assert rows[-1]["status_in_words"] == "not finite"


def test_charts_are_drawn_when_seen_and_export_what_the_file_holds(opened: Opened) -> None:
    box = opened.page.locator("#chart-0")
    box.scroll_into_view_if_needed()
    opened.page.wait_for_selector("#chart-0[data-drawn]")
    rows = list(csv.DictReader(io.StringIO(opened.saved('#chart-0 button:text-is("CSV")'))))
    for name in ("h0", "h1"):
        own = [row for row in rows if row["result"] == name]
        assert [float(row["eigenvalue"]) for row in own] == opened.values(name, "eigenvalues").tolist()
        assert [float(row["standard error"]) for row in own] == opened.values(name, "eigenvalue_se").tolist()
        assert [float(row["residual"]) for row in own] == opened.values(name, "residuals").tolist()
    first = opened.page.locator("#chart-0 .legend input").first
    first.uncheck()
    left = list(csv.DictReader(io.StringIO(opened.saved('#chart-0 button:text-is("CSV")'))))
    assert {row["result"] for row in left} == {"h1"}
    first.check()


def test_a_chart_tells_the_numbers_of_the_file(opened: Opened) -> None:
    lines = opened.run("window.views['chart-0'].tells[1](4)")
    value, error = (opened.values("h1", name)[4] for name in ("eigenvalues", "eigenvalue_se"))
    assert lines[2] == f"|Hessian eigenvalue| (nats): {value:.6g} ± {error:.6g}"
    assert f"residual: {opened.values('h1', 'residuals')[4]:.6g}" in lines


def test_a_plot_is_saved_as_a_picture(opened: Opened) -> None:
    with opened.page.expect_download() as caught:
        opened.page.locator('#chart-0 button:text-is("PNG")').click()
    assert Path(caught.value.path()).read_bytes().startswith(b"\x89PNG")
    assert caught.value.suggested_filename == "Top-of-the-spectrum.png"


def test_the_table_of_an_evaluation_is_exported_whole(opened: Opened) -> None:
    text = opened.saved("button[data-table^='evaluation-']")
    rows = list(csv.reader(io.StringIO(text)))
    rates = opened.values("tested", "error_rate")
    assert [[float(cell) for cell in row[1:5]] for row in rows[1:]] == rates.tolist()


def test_the_command_is_copied_as_it_was_typed(opened: Opened) -> None:
    opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = opened.page.locator("#result-0 button.copy")
    button.click()
    opened.page.wait_for_function("document.querySelector('#result-0 button.copy').textContent === 'copied'")
    with h5py.File(opened.folder / "line.h5") as file:
        assert opened.run("navigator.clipboard.readText()") == file.attrs["command"]


def test_dark_and_light_follow_the_system_and_then_the_button(opened: Opened) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    plot = "document.querySelector('[data-part=\"cut-x\"]')._fullLayout.paper_bgcolor"

    def seen() -> tuple[str, str]:
        opened.run("window.settled")
        return opened.run(paper), opened.run(plot)

    light = seen()
    opened.page.emulate_media(color_scheme="dark")
    opened.page.wait_for_function(f"{paper} !== '{light[0]}'")
    dark = seen()
    assert light[1] != dark[1]
    opened.page.locator("#theme").click()
    assert seen() == light  # the button wins over the system
    opened.run("delete document.documentElement.dataset.theme")
    opened.page.emulate_media(color_scheme="light")


def test_without_webgl_a_picture_stands_in(opened: Opened) -> None:
    opened.page.locator('[data-part="reliefs"]').check()
    opened.run("""async () => {
        const real = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
            return /webgl/.test(kind) ? null : real.call(this, kind, ...more);
        };
        window.views.surfaces.webgl = hasWebgl();
        HTMLCanvasElement.prototype.getContext = real;
        await window.views.surfaces.draw();
    }""")
    picture = opened.page.locator('[data-part="relief-a"] img')
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 300
    assert "No WebGL here" in opened.page.locator('[data-part="relief-a"]').text_content()


def test_printing_draws_every_view_first(opened: Opened) -> None:
    assert opened.page.pdf().startswith(b"%PDF")
    undrawn = "[...document.querySelectorAll('.chart .plot')].filter((plot) => !plot.querySelector('.main-svg')).length"
    assert opened.run(undrawn) == 0


def test_nothing_complained_meanwhile(opened: Opened) -> None:
    assert [line for line in opened.said if line.startswith("error")] == []
