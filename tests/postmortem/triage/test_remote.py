"""Cores that lie elsewhere: of a large one only what is read is fetched."""

from __future__ import annotations

import errno
import io
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from parsers.containers import compressed
from parsers.limits import Limits
from postmortem.model import from_json
from postmortem.triage import remote
from postmortem.triage.inputs import Input, Skipped, find
from postmortem.triage.work import Answer, Task, analyze
from tests.postmortem.corpus import ROOT
from tests.postmortem.jvm.corpus import case

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = ROOT / "fixtures" / "demo"
SIZE = 2 << 30


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A core of 2 GB, nearly all of it a hole."""
    core = tmp_path_factory.mktemp("large") / "core.large"
    with (DEMO / "core.zst").open("rb") as packed, core.open("wb") as file:
        for piece in compressed.chunks(packed, "zst"):
            file.write(piece)
        file.truncate(SIZE)
    return core


class Server(SimpleHTTPRequestHandler):
    """Serves a folder, by range where it is asked to; counts what it sent."""

    ranges = True
    sent = 0

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        with Path(self.translate_path(self.path)).open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            start, end = (int(asked[1]), min(int(asked[2]) + 1, size)) if asked and self.ranges else (0, size)
            self.send_response(206 if asked and self.ranges else 200)
            if asked and self.ranges:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.send_header("Content-Length", str(end - start))
            self.end_headers()
            file.seek(start)
            while start < end:
                piece = file.read(min(1 << 20, end - start))
                start += len(piece)
                type(self).sent += len(piece)
                self.wfile.write(piece)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def server(large: Path) -> Iterator[tuple[str, type[Server]]]:
    pytest.importorskip("aiohttp")
    handler = type("Handler", (Server,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(large.parent))) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}", handler
        serving.shutdown()
        thread.join()


def analyzed(item: Input) -> Answer:
    (answer,) = analyze(
        (
            Task(
                id=item.id, path=item.path, shown=item.shown, report="reports/x.json", size=item.size,
                facts=item.facts, url=item.url, options={"sysroot": DEMO / "sysroot"},
            ),
        )
    )  # fmt: skip
    return answer


def test_of_a_large_core_megabytes_are_fetched(large: Path, server: tuple[str, type[Server]], tmp_path: Path) -> None:
    url, handler = server
    (item,) = find((f"{url}/core.large",), tmp_path / "s", lambda identity: False)
    assert isinstance(item, Input)
    assert (item.size, item.url) == (SIZE, f"{url}/core.large")
    answer = analyzed(item)
    assert answer.failure is None
    assert handler.sent < 16 << 20
    (local,) = find((str(large),), tmp_path / "s", lambda identity: False)
    assert isinstance(local, Input)
    assert item.id == local.id
    there, here = from_json(answer.document), from_json(analyzed(local).document)
    assert (there.signature, there.verdict, there.threads) == (here.signature, here.verdict, here.threads)
    # No time of the copy, nor its name.
    assert (there.core.path, there.crash.time) == (item.shown, None)
    assert not list(tmp_path.glob("s/*/*"))


def test_a_server_without_ranges_is_copied_from_and_that_is_said(
    server: tuple[str, type[Server]], large: Path, tmp_path: Path
) -> None:
    url, handler = server
    handler.ranges = False
    small = large.with_name("core.small")
    with large.open("rb") as file:
        small.write_bytes(file.read(9 << 20))
    said: list[str] = []
    (item,) = find((f"{url}/core.small",), tmp_path / "s", lambda identity: False, say=said.append)
    small.unlink()
    assert isinstance(item, Input)
    assert (item.url, item.shown, item.path.stat().st_size) == (None, f"{url}/core.small", item.size)
    assert said == [f"{url}/core.small: its server gives no ranges, all {9 << 20} bytes are fetched"]
    assert analyzed(item).failure is None


def test_what_is_not_there_any_more_is_a_failure_that_may_pass(tmp_path: Path) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe("/gone/core.1", b"\x7fELF\x02\x01" + bytes(10) + b"\x04\0" + bytes(9 << 20))
    (item,) = find(("memory://gone",), tmp_path / "s", lambda identity: False)
    assert isinstance(item, Input)
    memory.rm("/gone/core.1")
    answer = analyzed(item)
    assert answer.lost and answer.failure is not None and "can't be fetched" in answer.failure
    (skipped,) = find(("memory://gone/core.1",), tmp_path / "s", lambda identity: False)
    assert isinstance(skipped, Skipped) and skipped.failed


class Source(io.BytesIO):
    """Counts reads; fails from `last` on."""

    reads: int
    last = 1 << 20

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads > self.last:
            raise ValueError("the line is cut")
        return super().read(size)


def ranges(tmp_path: Path, content: bytes) -> tuple[remote.Ranges, Source, io.FileIO]:
    target = io.FileIO(tmp_path / "target", "w+")
    target.truncate(len(content))
    source = Source(content)
    source.reads = 0
    return remote.Ranges(source, target.fileno(), len(content)), source, target


def test_a_granule_is_fetched_once(tmp_path: Path) -> None:
    content = bytes(range(256)) * 2048  # 8 granules
    supply, source, target = ranges(tmp_path, content)
    with target:
        assert supply(remote.GRANULE * 2 + 5, 10) == 0
        assert supply(remote.GRANULE * 2, remote.GRANULE) == 0
        assert source.reads == 1
        assert supply(0, len(content)) == 0
        assert (source.reads, supply.fetched) == (3, len(content))
        target.seek(0)
        assert target.read() == content


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supply, _, target = ranges(tmp_path, bytes(8 * remote.GRANULE))
    with target:
        for offset, size in ((-1, 5), (0, 0), (1 << 63, 1), (8 * remote.GRANULE, 1)):
            assert supply(offset, size) == errno.EINVAL
        monkeypatch.setattr(remote, "LIMITS", Limits(fetched_bytes=2 * remote.GRANULE))
        assert supply(0, 1) == 0
        assert supply(0, 1 << 62) == errno.EFBIG
        assert supply.fetched == remote.GRANULE
        assert supply(remote.GRANULE, 1) == 0
        assert supply(5 * remote.GRANULE, 1) == errno.EFBIG


def test_a_line_that_is_cut_is_not_tried_for_ever(tmp_path: Path) -> None:
    supply, source, target = ranges(tmp_path, bytes(8 * remote.GRANULE))
    source.last = 0
    with target:
        assert [supply(n * remote.GRANULE, 1) for n in range(6)] == [errno.EIO] * 6
    assert source.reads == 3


def test_the_log_beside_a_remote_core_is_the_core_s(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    place = tmp_path / "in"
    place.mkdir()
    for name in ("core", "hs_err.log"):
        (place / name).hardlink_to(case(17, "jni") / name)
    items = find((f"file://{place}/",), tmp_path / "s", lambda identity: False)
    log, core = (item for item in items if isinstance(item, Input))
    assert (log.kind, core.kind, core.url) == ("log", "core", f"file://{place}/core")
    answer = analyzed(core)
    assert answer.failure is None and str(tmp_path / "s").encode() not in answer.document
    assert from_json(answer.document).host is not None, "which the log alone tells"
    (place / "hs_err.log").unlink()
    (alone,) = find((f"file://{place}/",), tmp_path / "t", lambda identity: False)
    assert isinstance(alone, Input)
    assert from_json(analyzed(alone).document).host is None
