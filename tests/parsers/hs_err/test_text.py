"""A log that went through loggers, tickets and shells gives the facts of the log itself."""

# ruff: noqa: E501 (lines as other programs print them)
from __future__ import annotations

import html
import itertools
import json
import quopri
import random
import re
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.hs_err import HsErrLog, frames, parse
from parsers.hs_err import text as stage
from parsers.limits import Limits
from tests.parsers.hs_err.texts import JDK8_WINDOWS, JDK17_LINUX, JDK21_MACOS, OUT_OF_MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "logs"
LOGS = {
    "17": JDK17_LINUX,
    "8 windows": JDK8_WINDOWS,
    "21 macos": JDK21_MACOS,
    "oom": OUT_OF_MEMORY,
    **{path.stem: path.read_text() for path in sorted(FIXTURES.glob("jni-*.log"))},
}


def facts(log: HsErrLog) -> dict[str, Any]:
    """All that is said of the crash, without what is said of the text."""
    told: dict[str, Any] = msgspec.to_builtins(log)
    for name in ("coverage", "unknown", "normalised", "logs", "others", "limits_reached", "ended"):
        del told[name]
    return told


def each(line: Callable[[int, str], str]) -> Callable[[str], str]:
    """Line by line."""
    return lambda text: "\n".join(line(number, words) for number, words in enumerate(text.split("\n")))


def clock(number: int) -> str:
    return f"{10 + number // 3600 % 10}:{number // 60 % 60:02}:{number % 60:02}"


def cell(line: str) -> str:
    """As a spreadsheet writes it: quoted where it has to be."""
    return '"' + line.replace('"', '""') + '"' if "," in line or '"' in line else line


WAYS: dict[str, Callable[[str], str]] = {
    "docker compose": each(lambda n, line: f"api-1  | {line}"),
    "docker compose, ends trimmed": each(lambda n, line: f"api-1  | {line}".rstrip()),
    "docker compose, colours": each(lambda n, line: f"\x1b[36mapi_1  |\x1b[0m {line}"),
    "another service between": each(lambda n, line: f"api-1  | {line}" + ("" if n % 4 else f"\ndb-1   | LOG:  point {n}")),
    "kubectl --timestamps": each(lambda n, line: f"2026-02-03T{clock(n)}.{n * 37 % 10**9:09}Z {line}"),
    "containerd": each(lambda n, line: f"2026-02-03T{clock(n)}.{n:09}+01:00 stderr F {line}"),
    "journald": each(lambda n, line: f"Feb {3 + n % 20:2} {clock(n)} node-7 java[4242]: {line}"),
    "syslog over a month's end": each(lambda n, line: f"{'Feb' if n < 9 else 'Mar'} {1 + n % 20:2} {clock(n)} h app: {line}"),
    "ant": each(lambda n, line: f"    [junit] {line}"),
    "maven, levels": each(lambda n, line: f"[{('INFO', 'WARNING', 'ERROR')[n % 3]}] {line}"),
    "surefire": each(lambda n, line: f"Corrupted STDOUT by directly writing to native stream in forked JVM 1. Stream '{line}'."),
    "logback": each(lambda n, line: f"{clock(n)},{n % 1000:03} [pump-2] INFO  com.acme.Runner - {line}"),
    "pods": each(lambda n, line: f"shop-6f7c9d8b5-x{n % 10}zq api {line}"),
    "logfmt": each(lambda n, line: f"time=2026-02-03T{clock(n)}Z level=error msg={json.dumps(line)} container=api"),
    "csv": each(lambda n, line: f'2026-02-03 {clock(n)},"{line}"'),
    "time behind": each(lambda n, line: f"{line}   [{clock(n)}]"),
    "numbers of lines": each(lambda n, line: f"{n + 1:6}\t{line}"),
    "numbered list": each(lambda n, line: f"{n + 1}. {line}"),
    "bullets": each(lambda n, line: f"* {line}"),
    "quote": each(lambda n, line: f"> {line}"),
    "quote of a quote, ends trimmed": each(lambda n, line: f"> > {line}".rstrip()),
    "quote of a chat": each(lambda n, line: f"&gt; {html.escape(line, quote=False)}"),
    "indented": each(lambda n, line: f"    {line}"),
    "tab": each(lambda n, line: f"\t{line}"),
    "kubectl --prefix": each(lambda n, line: f"[pod/shop-6f7c9d8b5-x2zq/api] {line}"),
    "journald -o json": each(lambda n, line: json.dumps({"_HOSTNAME": "n7", "MESSAGE": line, "_PID": "42", "n": str(n)})),
    "RFC 5424": each(lambda n, line: f'<165>1 2026-02-03T{clock(n)}Z n7 app 42 ID47 [ex@32473 iut="3"] {line}'),
    "spring": each(lambda n, line: f"2026-02-03T{clock(n)}.{n % 1000:03}Z  WARN 42 --- [nio-80-exec-{n % 9}] c.acme.Run      : {line}"),
    "service messages": each(lambda n, line: "##teamcity[message text='" + re.sub(r"([|'\[\]])", r"|\1", line) + "' status='NORMAL']"),
    "a table's cells, all quoted": each(lambda n, line: '"' + line.replace('"', '""') + '"'),
    "list of JavaScript": lambda text: json.dumps(text.split("\n")),
    "HTML, div without line ends": lambda text: "".join(f"<div>{html.escape(line) or '<br>'}</div>" for line in text.split("\n")),
    "HTML, table with numbers": lambda text: "".join(
        f'<tr><td class="n">{n + 1}</td><td>{html.escape(line)}</td></tr>\n' for n, line in enumerate(text.split("\n"))
    ),
    "quotation marks of a word processor": lambda text: re.sub(r'"([^"\n]*)"', "\u201c\\1\u201d", text),
    "docker json-file": each(lambda n, line: json.dumps({"log": line + "\n", "stream": "stdout", "time": f"{n:09}"})),
    "JSON lines": each(lambda n, line: json.dumps({"at": clock(n), "log": {"message": line, "level": "ERROR"}})),
    "JSON lines behind a prefix": each(lambda n, line: f"api | {json.dumps({'level': 'E', 'message': line, 'n': n})}"),
    "JSON of an issue": lambda text: json.dumps({"number": 3, "body": text, "labels": ["bug"]}),
    "JSON of an issue, indented": lambda text: json.dumps([{"number": 3, "body": text}], indent=2),
    "escaped line ends": lambda text: text.replace("\\", "\\\\").replace("\n", "\\n"),
    "HTML": lambda text: f'<html><body><pre class="log">{html.escape(text)}</pre></body></html>',
    "HTML, br": lambda text: "<p>" + html.escape(text).replace("\n", "<br/>\n") + "</p>",
    "code fence": lambda text: f"```\n{text}\n```",
    "code fence in a quote": lambda text: "\n".join(f"> {line}" for line in f"```text\n{text}\n```".split("\n")),
    "ticket": lambda text: "{noformat}\n" + text + "\n{noformat}",
    "colours": each(lambda n, line: f"\x1b[31m{line}\x1b[0m"),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "no-break spaces": lambda text: text.replace("  ", "\xa0 "),
    "console around": lambda text: "".join(f"{n} INFO request {n} served\n" for n in range(200)) + text,
}  # fmt: skip
ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 LE, no mark": lambda text: text.encode("utf-16-le"),
    "UTF-16 BE, no mark": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "UTF-8 with a mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
}


@pytest.mark.parametrize("log", [log for log in LOGS if log != "jni-27"])
@pytest.mark.parametrize("way", WAYS)
def test_the_facts_survive_the_way(log: str, way: str) -> None:
    whole = parse(LOGS[log].encode())
    came = parse(WAYS[way](LOGS[log]).encode())
    assert facts(came) == facts(whole)
    assert came.normalised or way in (
        "CRLF",
        "CR",
        "no-break spaces",
        "console around",
        "quotation marks of a word processor",
    )


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_facts_survive_the_encoding(log: str, encoding: str) -> None:
    assert facts(parse(ENCODINGS[encoding](LOGS[log]))) == facts(parse(LOGS[log].encode()))


@pytest.mark.parametrize("log", LOGS)
def test_a_log_as_hotspot_wrote_it_is_left_alone(log: str) -> None:
    came = parse(LOGS[log].encode())
    assert came.normalised == () and came.logs == () and came.others == 0


_PARTS = st.one_of(
    st.sampled_from(
        ["web", "app", "INFO", "ERROR", "stdout", "F", "java", "[", "]", "|", ":", "-", ">", "(", ")", "=", "*"]
    ),
    st.sampled_from(["{clock}", "{number}"]),
)


@given(parts=st.lists(_PARTS, min_size=1, max_size=8), blank=st.sampled_from([" ", "  ", "\t"]))
@settings(max_examples=60, deadline=None)
def test_any_prefix_gives_the_same_facts(parts: list[str], blank: str) -> None:
    def line(number: int, text: str) -> str:
        prefix = " ".join(parts).format(clock=clock(number), number=number)
        return f"{prefix}{blank}{text}"

    assert facts(parse(each(line)(JDK17_LINUX).encode())) == facts(parse(JDK17_LINUX.encode()))


def head(log: str) -> str:
    """The lines with # at a log's start."""
    return "".join(itertools.takewhile(lambda line: line.startswith("#"), LOGS[log].splitlines(keepends=True)))


def without_hash(text: str) -> str:
    """As Markdown shows it: each # line a heading."""
    return "\n".join(line[1:].strip() if line.startswith("#") else line for line in text.split("\n"))


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("way", ["docker compose", "kubectl --timestamps", "quote", "indented", "logfmt", "HTML, br"])
def test_a_head_without_its_hash_is_read(log: str, way: str) -> None:
    whole = parse(head(log).encode()).header
    assert parse(without_hash(head(log)).encode()).header == whole
    assert parse(WAYS[way](without_hash(head(log))).encode()).header == whole
    newest_first = "\n".join(reversed(WAYS[way](without_hash(head(log))).split("\n")))
    if way not in ("HTML, br", "logfmt"):
        assert parse(newest_first.encode()).header == whole


@pytest.mark.parametrize("log", LOGS)
def test_newest_line_first(log: str) -> None:
    came = parse("\n".join(reversed(WAYS["kubectl --timestamps"](head(log)).split("\n"))).encode())
    assert came.header == parse(head(log).encode()).header
    assert "newest line first" in came.normalised


@pytest.mark.parametrize("log", ["17", "8 windows", "jni-17", "jni-27"])
def test_lines_run_together(log: str) -> None:
    whole, came = parse(head(log).encode()).header, parse(" ".join(head(log).split("\n")).encode()).header
    assert (came.kind, came.pc, came.pid, came.problematic_frame) == (
        whole.kind,
        whole.pc,
        whole.pid,
        whole.problematic_frame,
    )


def test_the_console_s_head_and_the_log_itself_are_one_log() -> None:
    text = LOGS["jni-17"]
    both = parse(f"{head('jni-17')}\n$ cat hs_err.log\n{text}".encode())
    assert both.logs == ()
    assert both.thread == parse(text.encode()).thread


def test_several_logs_are_told_and_the_first_is_read() -> None:
    second = LOGS["jni-17"].replace("pid=11500, tid=11507", "pid=77, tid=78")
    assert second != LOGS["jni-17"]
    several = parse(f"{LOGS['jni-17']}\n{second}".encode())
    assert several.logs == (1, LOGS["jni-17"].count("\n") + 2)
    assert facts(several) == facts(parse(LOGS["jni-17"].encode()))


def test_of_several_the_one_with_a_head_is_read() -> None:
    fragment = (
        "# JRE version: OpenJDK Runtime Environment (8.0_382-b05) (build 1.8.0_382-b05)\n\nOS: Example\n\nEND.\n\n"
    )
    several = parse((fragment + LOGS["jni-17"]).encode())
    assert several.logs == (fragment.count("\n") + 1, 1)
    assert several.header == parse(LOGS["jni-17"].encode()).header


def test_two_containers_that_crash_at_once_are_told_apart() -> None:
    other = LOGS["jni-17"].replace("pid=11500", "pid=77").replace("libcrash", "libother")
    both = "\n".join(
        f"2026-02-03T{clock(number)}Z api-{name}  | {line}"
        for number, lines in enumerate(zip(LOGS["jni-17"].split("\n"), other.split("\n"), strict=True))
        for name, line in zip("12", lines, strict=True)
    )
    came = parse(both.encode())
    assert facts(came) == facts(parse(LOGS["jni-17"].encode()))
    assert "lines of 1 other JVMs (2)" in came.normalised


def test_lines_that_a_terminal_broke() -> None:
    text = "\n".join(
        "\n".join(textwrap.wrap(line, 72)) if len(line) > 72 and not line[0].isalnum() else line
        for line in LOGS["17"]
        .replace("siginfo: si_signo: 11 (SIGSEGV), ", "siginfo: si_signo: 11 (SIGSEGV),\n")
        .split("\n")
    )
    came, whole = parse(text.encode()), parse(LOGS["17"].encode())
    assert (came.header.vm, came.header.runtime) == (whole.header.vm, whole.header.runtime)
    assert came.thread.siginfo == whole.thread.siginfo
    assert any("line breaks" in words for words in came.normalised)


REPEATED: dict[str, Callable[[str], str]] = {
    "prefixes with and without a clock": each(
        lambda n, line: f"api-1  | {'' if n % 2 else f'2026-02-03T{clock(n)}Z '}{line}"
    ),
    "journald -o export": each(lambda n, line: f"__CURSOR=s=ab;i={n:x}\n_HOSTNAME=n7\nMESSAGE={line}\n_PID=42\n"),
    "surefire dumpstream": each(
        lambda n, line: (
            f"Corrupted STDOUT by directly writing to native stream in forked JVM 1. Stream '{line}'.\n"
            f"java.lang.IllegalArgumentException: Stream stdin corrupted. Expected comma after third character in command '{line}'.\n"
            "\tat org.example.ForkClient.consume(ForkClient.java:511)"
        )
    ),
    "a table's cells": lambda text: "time,message\n" + each(lambda n, line: f"{17 * 10**11 + n},{cell(line)}")(text),
    "a table's one cell": lambda text: 'id,text\n17,"' + text.replace('"', '""') + '"\n',
    "list of Python": lambda text: repr(text.split("\n")),
    "list of Python, a line each": lambda text: "[" + ",\n ".join(map(repr, text.split("\n"))) + "]",
    "strings of Java": each(lambda n, line: json.dumps(line + "\n") + " +"),
    "quoted-printable": lambda text: (
        "Content-Transfer-Encoding: quoted-printable\n\n" + quopri.encodestring(text.encode()).decode()
    ),
}
"""Ways that put more than a prefix around a line, or around some lines only: the crash itself survives."""


@pytest.mark.parametrize("log", ["17", "8 windows", "jni-17"])
@pytest.mark.parametrize("way", REPEATED)
def test_the_crash_survives_the_way(log: str, way: str) -> None:
    came, whole = parse(REPEATED[way](LOGS[log]).encode()), parse(LOGS[log].encode())
    assert came.header == whole.header
    for name in ("thread", "native_frames", "java_frames", "siginfo", "stack", "registers"):
        assert getattr(came.thread, name) == getattr(whole.thread, name)
    assert came.normalised


WIDTHS = (72, 80, 100, 120)


@pytest.mark.parametrize("log", ["17", "jni-17"])
@pytest.mark.parametrize("width", WIDTHS)
def test_lines_cut_at_a_column_go_on_in_the_next(log: str, width: int) -> None:
    text = "\n".join(
        line[at : at + width] for line in LOGS[log].split("\n") for at in range(0, max(len(line), 1), width)
    )
    came, whole = parse(text.encode()), parse(LOGS[log].encode())
    assert (came.header.vm, came.header.pc, came.header.tid) == (whole.header.vm, whole.header.pc, whole.header.tid)
    assert came.header.problematic_frame == whole.header.problematic_frame
    assert (came.thread.native_frames, came.thread.java_frames) == (
        whole.thread.native_frames,
        whole.thread.java_frames,
    )
    assert (came.thread.siginfo, came.thread.thread, came.thread.stack) == (
        whole.thread.siginfo,
        whole.thread.thread,
        whole.thread.stack,
    )


def test_a_number_that_was_cut_is_not_read() -> None:
    text = "\n".join(line[:72] for line in LOGS["jni-17"].split("\n"))
    came = parse(text.encode())
    assert "lines cut at column 72: what stood behind it is lost" in came.normalised
    assert came.thread.siginfo is None or came.thread.siginfo.address is None
    assert parse(LOGS["jni-17"].encode()).thread.siginfo is not None


def test_a_compiled_frame_that_was_cut_tells_its_method() -> None:
    line = (
        "J 145543 C2 shop.Accessor.invoke(Ljava/lang/Object;[Ljava/lang/Object;)Ljava/lang/Object; (61 bytes)"
        " @ 0x00007fd154f82640 [0x00007fd154f82620+0x20]"
    )
    for length in range(len("J 145543 C2 shop.Accessor.invoke("), len(line)):
        frame = frames.parse(line[:length])
        assert frame is not None
        assert (frame.compile_id, frame.level, frame.method) == (145543, "C2", "shop.Accessor.invoke")
    assert frames.parse("J 145543 C2 a word") is None


def test_an_empty_string_is_no_doubled_quotation_mark() -> None:
    line = (
        'vm_info: OpenJDK 64-Bit Server VM (11.0.6+10) for windows-amd64 JRE (11.0.6+10), built on Jan 18 by "" with x'
    )
    came = parse(f"OS: Windows Server 2016\n\n{line}\n".encode())
    assert came.normalised == ()


def test_markdown_escapes() -> None:
    escaped = re.sub(r"([#_*\[\]()<>])", r"\\\1", head("jni-17"))
    assert parse(escaped.encode()).header == parse(head("jni-17").encode()).header


_STACK = """Stack: [0x00007fd7883af000,0x00007fd7884b0000],  sp=0x00007fd7884ade78,  free space=1019k
Native frames: (J=compiled Java code, j=interpreted, Vv=VM code, C=native code)
C  [libc.so.6+0x16ac20]  __memcmp_sse4_1+0xcc0
C  [libstore.so+0x87ff2]  std::vector<int, std::allocator<int> >::push_back(int&&)+0x92
J 1126  org.store.Cursor.next0(J)V (0 bytes) @ 0x00007fedcc4e80f3 [0x00007fedcc4e8040+0xb3]
"""
EXCERPTS = {
    "a stack": _STACK,
    "frames": "".join(_STACK.splitlines(keepends=True)[2:]),
    "from the signal on": "".join(head("17").splitlines(keepends=True)[3:9]),
    "the signal": "".join(head("17").splitlines(keepends=True)[1:4]),
    "memory on the console": "Heap of 1G\n" + "".join(head("oom").splitlines(keepends=True)[:4]),
    "registers": JDK17_LINUX[JDK17_LINUX.index("siginfo:") : JDK17_LINUX.index("Top of Stack:")],
}
_OF_FEW_LINES = ("time behind", "escaped line ends", "console around", "JSON lines behind a prefix")
"""Too little to tell what belongs to the log in a few lines."""


@pytest.mark.parametrize("excerpt", EXCERPTS)
@pytest.mark.parametrize("way", [way for way in WAYS if way not in _OF_FEW_LINES])
def test_the_facts_of_a_few_lines_survive_the_way(excerpt: str, way: str) -> None:
    whole = facts(parse(EXCERPTS[excerpt].encode()))
    assert any(whole[part] != getattr(HsErrLog(), part) for part in ("header", "thread"))
    assert facts(parse(WAYS[way](EXCERPTS[excerpt]).encode())) == whole


def test_what_was_undone_is_said() -> None:
    came = parse(WAYS["docker compose, colours"](head("17")).encode())
    assert came.normalised == ("terminal colours", f"the prefix 'api_1  |' of {head('17').count(chr(10)) + 1} lines")


BUDGET = 1 << 20


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller one: what is shown holds for any."""
    monkeypatch.setattr(stage, "LIMITS", Limits(log_bytes=BUDGET))


HOSTILE = {
    "unknown lines": lambda size: b"".join(b"some line %d of a console\n" % n for n in range(size // 28)),
    "one line": lambda size: b"# " * (size // 2),
    "braces": lambda size: b"{" * size,
    "JSON": lambda size: b'{"a":' * (size // 5),
    "entities": lambda size: b"&lt;" * (size // 4),
    "tags": lambda size: b"<a href=" * (size // 8),
    "escapes": lambda size: b"\\n#" * (size // 3),
    "colours": lambda size: b"\x1b[" * (size // 2),
    "heads": lambda size: b"# A fatal error has been detected by the Java Runtime Environment:\n" * (size // 68),
    "prefixes": lambda size: b"".join(b"%s JRE version: 1\n" % (b"a-" * (n % 150)) for n in range(size // 170)),
    "blanks": lambda size: b" " * size,
    "zeros": bytes,
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("where", ["before", "after", "both"])
@pytest.mark.usefixtures("budget")
def test_hostile_text_costs_no_more_than_its_budget(what: str, where: str) -> None:
    junk = HOSTILE[what](BUDGET // 2)
    text = head("jni-17").encode()
    data = {"before": junk + b"\n" + text, "after": text + junk, "both": junk + b"\n" + text + junk}[where]
    small = HOSTILE[what](BUDGET // 8)
    start = time.process_time()
    parse(text + small)
    quarter = time.process_time() - start
    start = time.process_time()
    parse(data)
    # Four or eight times the bytes; the square of that would be 16 to 64 times the work.
    assert time.process_time() - start < 14 * quarter + 1


@pytest.mark.usefixtures("budget")
def test_what_lies_beyond_the_budget_is_said() -> None:
    whole = parse((LOGS["jni-17"] + "\nmore lines" * (BUDGET // 10)).encode())
    assert "bytes" in whole.limits_reached
    assert whole.thread == parse(LOGS["jni-17"].encode()).thread


@pytest.mark.usefixtures("budget")
def test_a_log_far_into_a_console_s_text_is_found() -> None:
    before = b"building\n" * (BUDGET // 8)
    found = parse(before + LOGS["jni-17"].encode())
    assert found.header == parse(LOGS["jni-17"].encode()).header


def test_damaged_text_gives_facts_or_a_parse_error() -> None:
    dice = random.Random(7)
    for number in range(120):
        way = dice.choice(sorted(WAYS))
        data = bytearray(WAYS[way](LOGS[dice.choice(sorted(LOGS))]).encode()[:20_000])
        for _ in range(dice.randrange(1, 60)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            parse(bytes(data[: dice.randrange(200, len(data))] if number % 2 else data))
        except Exception as error:
            assert type(error).__name__ == "ParseError"
