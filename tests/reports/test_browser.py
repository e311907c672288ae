"""The HTML report and the index of a triage in a real browser: no request, no error, no horizontal scroll on a phone.

AXE names axe-core's axe.min.js, where it is to look for what keeps people out; without it that is not tested.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from reports import FORMATS
from reports.index import page
from tests.build import reports as build
from tests.reports.index.test_index import HOSTILE, triage

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium")
AXE = os.environ.get("AXE")
pytestmark = [
    pytest.mark.browser,
]


def _run(tmp_path: Path, address: str, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    return subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=4000",
            "--enable-logging=stderr",
            *options,
            address,
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )


def _seen(tmp_path: Path, shown: str, probe: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    """What a page that has the shown one in a frame finds out, as JSON in its #out."""
    (tmp_path / "report.html").write_text(shown, encoding="utf-8")
    (tmp_path / "probe.html").write_text(probe, encoding="utf-8")
    made = _run(tmp_path, (tmp_path / "probe.html").as_uri(), "--dump-dom")
    match = re.search(r'<pre id="out">(.*?)</pre>', made.stdout, re.S)
    assert match is not None
    return made, json.loads(unescape(match[1]))


# Measures the report in a frame of a phone's width: a window can't be made so narrow.
_PROBE = """<!doctype html><meta charset="utf-8">
<iframe id="f" src="report.html" style="width:WIDTHpx;height:1200px;border:0"></iframe><pre id="out"></pre>
<script>
document.getElementById("f").addEventListener("load", (event) => {
  const page = event.target.contentDocument;
  for (const one of page.querySelectorAll("details")) one.open = true;
  const search = page.getElementById("thread-search");
  const groups = [...page.querySelectorAll("details.thread")];
  if (search) {
    search.value = "no-thread-is-named-so";
    search.dispatchEvent(new Event("input", {bubbles: true}));
  }
  document.getElementById("out").textContent = JSON.stringify({
    width: page.documentElement.scrollWidth,
    filtered: groups.filter((one) => !one.hidden).length,
    form: search ? !search.form.hidden : null,
    markup: page.querySelectorAll("img,iframe,object").length,
  });
});
</script>"""


@pytest.mark.parametrize("name", ["minimal", "native", "jvm", "recursion", "hostile"])
def test_on_a_phone(tmp_path: Path, name: str) -> None:
    made, seen = _seen(tmp_path, FORMATS["html"](getattr(build, name)()), _PROBE.replace("WIDTH", "390"))
    assert seen["width"] <= 390
    assert seen["markup"] == 0
    if seen["form"] is not None:
        assert seen["form"]
        assert seen["filtered"] == 0
    # CSP violations and script errors are written to the console.
    assert "CONSOLE" not in made.stderr, made.stderr


INDEXES = {
    "usual": page.render(triage()),
    "hostile": page.render(triage(HOSTILE, 600)),
    "long": page.render(triage("shop::" + "Basket" * 60, 3)),
}


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", INDEXES)
def test_the_index_fits(tmp_path: Path, name: str, width: int) -> None:
    made, seen = _seen(tmp_path, INDEXES[name], _PROBE.replace("WIDTH", str(width)))
    assert seen["width"] <= width
    assert seen["markup"] == 0
    assert "CONSOLE" not in made.stderr, made.stderr


# The page itself allows no script, so axe looks at a copy that does.
_AXE = """<!doctype html><meta charset="utf-8"><html lang="en"><title>probe</title>
<iframe id="f" title="page" src="report.html" style="width:WIDTHpx;height:1200px;border:0"></iframe><pre id="out"></pre>
<script>
document.getElementById("f").addEventListener("load", async (event) => {
  const frame = event.target.contentWindow;
  for (const one of frame.document.querySelectorAll("details")) one.open = true;
  const found = await frame.axe.run(frame.document);
  document.getElementById("out").textContent = JSON.stringify({
    rules: found.passes.length,
    violations: found.violations.map((one) => [one.id, one.nodes.map((node) => node.html.slice(0, 200))]),
  });
});
</script>"""


@pytest.mark.skipif(AXE is None, reason="AXE names no axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", INDEXES)
def test_axe_finds_nothing_in_the_index(tmp_path: Path, name: str, width: int, scheme: str) -> None:
    shutil.copy(AXE or "", tmp_path / "axe.js")
    shown = re.sub(r"<meta http-equiv=[^>]*>", '<script src="axe.js"></script>', INDEXES[name])
    if scheme == "dark":
        assert "@media (prefers-color-scheme:dark)" in shown
        shown = shown.replace("@media (prefers-color-scheme:dark)", "@media all")
    _, seen = _seen(tmp_path, shown, _AXE.replace("WIDTH", str(width)))
    assert seen["rules"] > 10
    assert seen["violations"] == []
