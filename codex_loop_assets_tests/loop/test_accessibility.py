"""axe-core finds nothing in the pages, light and dark, on a desk and on a phone.

Needs a Chromium on PATH and axe-core from the npm registry (AXE_CORE_JS names a copy that is at hand); skips without
them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from codex_loop_assets.loop import life, site
from codex_loop_assets.loop.report import day_page
from codex_loop_assets_tests.loop.test_pages import DAY, inputs
from codex_loop_assets_tests.loop.world import CLUSTER, thread

pytestmark = pytest.mark.browser

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--virtual-time-budget=20000",
]  # fmt: skip
RUN_AXE = """<script>{axe}</script><script>addEventListener("load", () => axe.run().then(result => {{
  const wide = document.documentElement.scrollWidth > innerWidth ? ["the page is wider than its window"] : [];
  document.documentElement.dataset.found = JSON.stringify(
    [...wide, ...result.violations.map(found => found.id + " (" + found.impact + "): " + found.nodes[0].html)]);
}}));</script></body>"""


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    if not BROWSER:
        pytest.skip("no Chromium on PATH")
    given = os.environ.get("AXE_CORE_JS")
    if given:
        return Path(given).read_text("utf-8")
    if not shutil.which("npm"):
        pytest.skip("no npm to install axe-core with, and AXE_CORE_JS is not set")
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), "axe-core@4"]
    if subprocess.run(command, capture_output=True, timeout=120).returncode:
        pytest.skip("axe-core could not be installed from the npm registry")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="module")
def pages():
    given = inputs()
    return site.build(given) | {"report.html": day_page(given, DAY)[0]}


def violations(folder, pages, path, axe, dark, width):
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", pages[path])
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(html.replace("</body>", RUN_AXE.format(axe=axe)), "utf-8")
    (folder / "style.css").write_text(pages["style.css"], "utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [BROWSER, *FLAGS, scheme, profile, f"--window-size={width},900", "--dump-dom", target.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r'data-found="([^"]*)"', dom)
    assert found, "axe did not finish"
    return json.loads(found[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.parametrize(
    ("path", "dark", "width"),
    [
        ("report.html", False, 1280),
        ("report.html", True, 500),
        ("index.html", False, 500),
        (f"clusters/{CLUSTER}.html", True, 1280),
        (f"sessions/{thread(1)}.html", False, 1280),
        ("trends.html", True, 500),
        ("tickets.html", False, 1280),
        (f"tickets/{life.ticket_id(CLUSTER)}.html", True, 500),
        ("days.html", True, 1280),
        ("clusters.html", False, 500),
        ("sessions.html", True, 500),
        ("scorecard.html", False, 500),
        ("coverage.html", True, 1280),
        ("funnel.html", False, 500),
    ],
)
def test_axe_finds_nothing(tmp_path, pages, axe, path, dark, width):
    assert violations(tmp_path, pages, path, axe, dark, width) == []


def test_the_checker_would_find_something(tmp_path, pages, axe):
    broken = pages | {
        "index.html": pages["index.html"].replace("<main", '<p style="color:#ccc;background:#fff">pale</p><main')
    }
    assert any("color-contrast" in found for found in violations(tmp_path, broken, "index.html", axe, False, 1280))
