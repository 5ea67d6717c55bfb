"""How long reports take to open in a real browser, its network off: `python benchmarks/page.py REPORT.html...`.

Each page is opened REPEATS times by a new Chromium. Ready: from the start of loading until all is read and every view
can be drawn; CPU: of all the browser's processes until then, their own start included. Needs chromium and the extra
`test`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import psutil

REPEATS = 3


def opened(playwright: Any, browser_path: str, page_path: Path) -> str:
    """Open a page and return in words how long it took, what was asked of the network, and what the console said."""
    browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
    page = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}).new_page()
    errors: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url) if request.url.startswith("http") else None)
    page.goto(page_path.resolve().as_uri())
    page.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
    ready = page.evaluate("performance.now()") / 1000
    children = [child for child in psutil.Process().children(recursive=True) if "chrom" in child.name()]
    cpu = sum(sum(child.cpu_times()[:2]) for child in children)
    browser.close()
    return f"ready after {ready:.1f} s, {cpu:.1f} s of CPU; {len(asked)} requests, {len(errors)} errors on the console"


def main() -> None:
    """Open each page that the command line names."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None or len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/page.py REPORT.html... (with chromium installed)")
    cores, load = psutil.cpu_count(), psutil.getloadavg()[0]
    print(f"{cores} cores, load {load:.1f}")
    with sync_playwright() as playwright:
        for path in map(Path, sys.argv[1:]):
            for _ in range(REPEATS):
                print(f"{path.name}, {path.stat().st_size / 1e6:.1f} MB: {opened(playwright, found, path)}")


if __name__ == "__main__":
    main()
