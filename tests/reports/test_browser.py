"""The HTML report in a real browser: no request, no error, no horizontal scroll on a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from typing import TYPE_CHECKING

import pytest

from reports import FORMATS
from tests.build import reports as build

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium")
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


# Measures the report in a frame of a phone's width: a window can't be made so narrow.
_PROBE = """<!doctype html><meta charset="utf-8">
<iframe id="f" src="report.html" style="width:390px;height:1200px;border:0"></iframe><pre id="out"></pre>
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
    (tmp_path / "report.html").write_text(FORMATS["html"](getattr(build, name)()), encoding="utf-8")
    (tmp_path / "probe.html").write_text(_PROBE, encoding="utf-8")
    made = _run(tmp_path, (tmp_path / "probe.html").as_uri(), "--dump-dom")
    match = re.search(r'<pre id="out">(.*?)</pre>', made.stdout, re.S)
    assert match is not None
    seen = json.loads(unescape(match[1]))
    assert seen["width"] <= 390
    assert seen["markup"] == 0
    if seen["form"] is not None:
        assert seen["form"]
        assert seen["filtered"] == 0
    # CSP violations and script errors are written to the console.
    assert "CONSOLE" not in made.stderr, made.stderr
