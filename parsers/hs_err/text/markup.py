"""HTML, Markdown and JSON around and inside of a log's lines."""

from __future__ import annotations

import html
import json
import quopri
import re
from typing import TYPE_CHECKING, Any

from parsers.hs_err.text import anchors
from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

_RAW = re.compile(r"<a '|=>0x|<offset 0x")
"""How HotSpot uses the characters that HTML has to escape."""
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#\d{1,6}|#[xX][0-9a-fA-F]{1,5});")
_TAG = re.compile(
    r"</?(?:p|div|pre|code|span|li|ul|ol|td|tr|th|table|tbody|html|body|head|title|b|i|em|strong|font|details|summary|"
    r"blockquote|h[1-6]|samp|tt)(?:\s+[\w-]{1,40}=(?:\"[^\"<>]{0,300}\"|'[^'<>]{0,300}'|[^\s\"'<>]{0,100})){0,8}\s*/?>|"
    r"<a\s+(?:href|class|id|name|target)=[^<>]{0,500}>|</a>|<!--[^<>]{0,200}-->",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<br\s{0,4}/?>[ \t]{0,8}\n?", re.IGNORECASE)
_FENCE = re.compile(
    r"(?m)^[ \t>]{0,16}(?:`{3,8}|~{3,8})[\w+-]{0,20}[ \t]*$|^[ \t]*\{(?:code|noformat|quote)[^{}\n]{0,80}\}[ \t]*$"
)
_FENCED = re.compile(r"\{(?:code|noformat)(?::[^{}\n]{0,80})?\}|^```\w{0,20} ?|```$", re.MULTILINE)
_ESCAPED = re.compile(r"\\([#_*\[\](){}<>~`|+.!\\-])")
_CONTROL = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[nrt\"'/\\bf])")
_CONTROLS = {"n": "\n", "r": "", "t": "\t", "b": "", "f": ""}
_LINE_IN_ESCAPE = re.compile(r"\\n(?:\\?#)?[ \t]{0,8}$")
_LITERAL = re.compile(r"'((?:[^'\\]|\\.){0,8192})'|\"((?:[^\"\\]|\\.){0,8192})\"")
"""A string of a list as Python, JavaScript and Java write it."""
_BLOCK = re.compile(r"(?<=[^\n])(</(?:p|div|li|tr|h[1-6]|pre)>)(?!\s*\n)", re.IGNORECASE)
_CELLS = re.compile(r"</t[dh]>\s{0,8}<t[dh]\b", re.IGNORECASE)
_TEAMCITY = re.compile(
    r"##teamcity\[\w{1,40} (?:[^\n|']|'(?:[^'|\n]|\|.){0,400}'){0,400}?"
    r"\btext='((?:[^'|\n]|\|.){0,8192})'[^\n]{0,400}?\]"
)
_SERVICE = re.compile(r"\|(?:0x[0-9a-fA-F]{4}|.)")
_SERVICE_CONTROLS = {"n": "\n", "r": "", "x": "\n", "l": "\n", "p": "\n"}
_PRINTABLE = re.compile(r"=(?:[0-9A-F]{2}|[ \t]{0,8}(?:\n|$))")
_SOFT = re.compile(r"=[ \t]{0,8}\n")
_OTHERS = 2
"""Signs of equality in the head of a mail's part."""
_FEWEST = 3
_DOUBLED = re.compile(r'""[^"\n]{1,400}""')
_SINGLE = re.compile(r'(?m)(?<![",])(?<!^)"(?![",]|\s*$)')
"""A quotation mark that no table wrote: neither doubled nor the start or end of a cell."""
_LARGEST_JSON = LIMITS.markup_json
_DEEPEST = LIMITS.markup_depth


def unmarked(text: str) -> tuple[str, list[str]]:
    """The text without HTML's tags and entities, Markdown's fences and escapes, and what was changed, in words."""
    changes = []
    if _quoted_printable(text):
        text = quopri.decodestring(text.encode()).decode("utf-8", "replace")
        changes.append("quoted-printable")
    if "##teamcity[" in text:
        text = _TEAMCITY.sub(lambda found: _SERVICE.sub(_service, found[1]), text)
        changes.append("TeamCity's service messages")
    entities, tags = _ENTITY.search(text), _BREAK.search(text) or _TAG.search(text)
    if (entities or tags) and not _RAW.search(text):
        if tags:
            text = _BLOCK.sub(r"\1\n", _BREAK.sub("\n", _CELLS.sub(" <td", text)))
            text = _TAG.sub("", text)
            changes.append("HTML tags")
        if entities:
            text = html.unescape(text)
            if _ENTITY.search(text):
                text = html.unescape(text)
            text = text.replace("\xa0", " ")
            changes.append("HTML entities")
    undoubled = _undoubled(text)
    if undoubled is not text:
        text = undoubled
        changes.append("doubled quotation marks")
    if "```" in text or "~~~" in text or "{code" in text or "{noformat" in text:
        text = _FENCED.sub("", _FENCE.sub("", text))
        changes.append("code fences")
    if "\\#" in text or "\\_thread\\_" in text:
        text = _ESCAPED.sub(r"\1", text)
        changes.append("Markdown escapes")
    return text, changes


def unrecorded(lines: list[str]) -> tuple[list[tuple[int, str]], list[str]]:
    """(index of its line, text): the lines told in JSON records or with escaped line ends, each on its own."""
    if not any("{" in line or "\\n" in line or line.lstrip()[:1] in ('"', "[", "(") for line in lines[:2000]):
        return list(enumerate(lines)), []
    document = _document(lines)
    if document is not None:
        return document, ["a JSON document"]
    literals = _literals(lines)
    if literals is not None:
        return literals, ["a list of strings"]
    records = _records(lines)
    if records is not None:
        return records, ["JSON records"]
    found = [hit.line for hit in anchors.hits(lines) if _LINE_IN_ESCAPE.search(lines[hit.line][: hit.column])]
    if not found:
        return list(enumerate(lines)), []
    wanted = set(found)
    return [
        (index, part)
        for index, line in enumerate(lines)
        for part in (unescaped(line).split("\n") if index in wanted else (line,))
    ], ["escaped line ends"]


def unescaped(text: str) -> str:
    """Backslash escapes of JSON and of most loggers undone."""

    def one(found: re.Match[str]) -> str:
        what = found[0][1:]
        return chr(int(what[1:], 16)) if what[0] == "u" and len(what) > 1 else _CONTROLS.get(what, what)

    return _CONTROL.sub(one, text)


def _quoted_printable(text: str) -> bool:
    """Whether (nearly) every "=" begins an escape of a mail's transfer encoding, line ends among them."""
    if not _SOFT.search(text) or "=3D" not in text:
        return False
    escapes = sum(1 for _ in _PRINTABLE.finditer(text))
    others = text.count("=") - escapes
    return escapes >= _FEWEST and others <= max(_OTHERS, escapes // 20)


def _service(found: re.Match[str]) -> str:
    what = found[0][1:]
    return chr(int(what[2:], 16)) if len(what) > 1 else _SERVICE_CONTROLS.get(what, what)


def _undoubled(text: str) -> str:
    """Quotation marks that a table's cell had to double, where no other kind is in the text."""
    return text.replace('""', '"') if _DOUBLED.search(text) and not _SINGLE.search(text) else text


def _literals(lines: list[str]) -> list[tuple[int, str]] | None:
    """The text is a list of string literals, one for each line of the log."""
    first = next((line.lstrip() for line in lines if line.strip()), "")
    if first[:1] not in ("[", "(") or sum(map(len, lines)) > _LARGEST_JSON:
        return None
    rows = [
        (index, part)
        for index, line in enumerate(lines)
        for found in _LITERAL.finditer(line)
        for part in unescaped(found[1] or found[2] or "").removesuffix("\n").split("\n")
    ]
    inside = {hit.word for hit in anchors.hits([text for _, text in rows])}
    return rows if len(inside) >= _FEWEST and inside >= {hit.word for hit in anchors.hits(lines)} else None


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _strings(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """(path, text) of all strings in a JSON value; items of a list share their path."""
    if isinstance(value, str):
        yield path, value
    elif depth < _DEEPEST and isinstance(value, dict):
        for name, item in value.items():
            yield from _strings(item, f"{path}.{name}", depth + 1)
    elif depth < _DEEPEST and isinstance(value, list):
        for item in value:
            yield from _strings(item, path, depth + 1)


def _document(lines: list[str]) -> list[tuple[int, str]] | None:
    """The whole text is one JSON value: its strings that have lines of a log."""
    first = next((line.lstrip() for line in lines if line.strip()), "")
    if first[:1] not in ("{", "[", '"') or sum(map(len, lines)) > _LARGEST_JSON:
        return None
    value = _loaded("\n".join(lines))
    if value is None:
        return None
    strings = list(_strings(value))
    paths = {path for path, text in strings if anchors.hits(text.split("\n"))}
    found = [(0, part) for path, text in strings if path in paths for part in text.replace("\r", "").split("\n")]
    return found or None


def _records(lines: list[str]) -> list[tuple[int, str]] | None:
    """JSON records, one a line: of each the field that holds the log's lines."""
    wanted = {hit.line for hit in anchors.hits(lines) if lines[hit.line].lstrip()[:1] == "{"}
    if not wanted:
        return None
    count: dict[str, int] = {}
    for index in sorted(wanted)[:200]:
        for path, text in _strings(_loaded(lines[index])):
            if anchors.hits(text.split("\n")):
                count[path] = count.get(path, 0) + 1
    if not count:
        return None
    best = max(count, key=lambda path: count[path])
    rows: list[tuple[int, str]] = []
    for index, line in enumerate(lines):
        value = _loaded(line) if line.lstrip()[:1] == "{" and line.rstrip()[-1:] == "}" else None
        told = next((text for path, text in _strings(value) if path == best), None)
        if told is None:
            rows.append((index, line if value is None else ""))
            continue
        rows.extend((index, part) for part in told.replace("\r", "").removesuffix("\n").split("\n"))
    return rows
