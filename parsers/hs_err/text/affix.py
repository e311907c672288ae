"""What a logger, a quote or a list puts before and behind each line: learned from lines that tell where they begin.

A prefix is known by its structure, not by a list of formats: its punctuation and blanks stand for themselves, its
numbers vary, its words are the same in all lines or vary.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING

from parsers.hs_err.text import anchors
from parsers.hs_err.text.markup import unescaped
from parsers.hs_err.text.streams import TOKEN
from parsers.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from parsers.hs_err.text.anchors import Hit

_UNESCAPED = re.compile(r"(?<!\\)(?:\\\\){0,64}\\(?:(?![nrtbfu\"'\\/])|u(?![0-9a-fA-F]{4}))")
"""A backslash that begins no escape: the text has its quotation marks but was not escaped."""
_LONGEST = LIMITS.affix_line
_MOST_SHAPES = LIMITS.affix_shapes
_FEW = 3
_MOSTLY = 0.5
_BEHIND = 3
_SHARE = 4
"""A longer prefix goes before its own start when it is on at least one line in so many."""


@dataclass(slots=True)
class _Shape:
    """Prefixes (or suffixes) of one structure."""

    tokens: list[set[str]]
    count: int = 0
    samples: list[str] = field(default_factory=list)

    def add(self, tokens: Sequence[str]) -> None:
        self.count += 1
        for known, token in zip(self.tokens, tokens, strict=True):
            if len(known) < 64:
                known.add(token)

    def extends(self, base: _Shape) -> bool:
        """Whether the other structure is the start of this one, as far as blanks and punctuation tell."""
        return len(self.tokens) > len(base.tokens) and all(
            bool(own & other) or all(token[0].isalnum() for token in own | other)
            for own, other in zip(self.tokens, base.tokens, strict=False)
        )

    @property
    def blank(self) -> bool:
        """Of blanks alone."""
        return all(token.isspace() for known in self.tokens for token in known)

    @property
    def quote(self) -> str:
        """The quotation mark that a prefix ends with, or a suffix begins with."""
        return next((token for token in self.tokens[-1] if token in "\"'`"), "")

    def pattern(self) -> str:
        """All tokens but a last one of blanks."""
        return "".join(_pattern(known) for known in (self.tokens[:-1] if self.ends_blank else self.tokens))

    @property
    def ends_blank(self) -> bool:
        """Whether blanks end it, which a line without more to say may lack."""
        return all(token.isspace() for token in self.tokens[-1])


def _pattern(known: set[str]) -> str:
    one = next(iter(known))
    if all(token.isspace() for token in known):
        return rf"\s{{{min(map(len, known))},{max(map(len, known)) + 2}}}"  # columns are aligned
    if all(token.isdecimal() for token in known):
        return r"\d{1,20}"
    if len(known) == 1 and not any(character.isdecimal() for character in one):
        return re.escape(one)
    return r"[^\W\d]{1,64}" if not any(c.isdecimal() for token in known for c in token) else r"\w{1,64}"


def _shapes(texts: Iterable[str], plain: int) -> list[_Shape]:
    """The structures that occur often enough to be one, the commonest first. plain: how many lines had nothing."""
    found: dict[str, _Shape] = {}
    total = plain
    for text in texts:
        total += 1
        tokens = TOKEN.findall(text)
        key = "".join("w" if t[0].isalnum() or t[0] == "_" else "s" if t.isspace() else t for t in tokens)
        if key not in found and len(found) < 1000:
            found[key] = _Shape([set() for _ in tokens])
        if key in found:
            found[key].add(tokens)
    mostly_plain = plain > _MOSTLY * total
    kept = [
        shape
        for shape in found.values()
        if (shape.count > 1 or total <= _FEW) and not (mostly_plain and (shape.blank or shape.count < _FEW))
    ]
    kept = sorted(kept, key=lambda shape: (-shape.count, -len(shape.tokens)))[:_MOST_SHAPES]
    longer = {
        id(shape)
        for shape in kept
        if any((shape.quote or base.count <= _SHARE * shape.count) and shape.extends(base) for base in kept)
    }
    return sorted(kept, key=lambda shape: id(shape) not in longer or -len(shape.tokens))


def _first_of_lines(found: Sequence[Hit]) -> list[Hit]:
    firsts: dict[int, Hit] = {}
    for hit in found:
        firsts.setdefault(hit.line, hit)
    return list(firsts.values())


def stripped(lines: list[str], found: Sequence[Hit]) -> tuple[list[str | None], list[str]]:
    """The lines without what stands before and behind all of them, and what that was, in words.

    None: where all of the log's lines have a prefix, a line without it is another writer's.
    """
    firsts = _first_of_lines(found)
    texts = [lines[hit.line][: hit.column] for hit in firsts]
    prefixed = [text for text in texts if text and len(text) <= _LONGEST]
    plain = len(texts) - len(prefixed)
    if not prefixed:
        return _unsuffixed(lines, "", [])
    shapes = _shapes(prefixed, plain)
    if not shapes:
        return _unsuffixed(lines, "", []) if plain > _MOSTLY * len(texts) else _cut(lines, firsts)
    patterns = []
    for shape in shapes:
        # What follows may be indented, so that the fewest blanks are the prefix's own.
        end = rf"\s{{{min(map(len, shape.tokens[-1]))}}}" if shape.ends_blank else ""
        patterns.append(re.compile(rf"{shape.pattern()}(?:{end}|\s*$)" if end else shape.pattern()))
    counts: Counter[int] = Counter()
    example = ""
    cut: list[str | None] = []
    columns = {} if plain > _MOSTLY * len(texts) else {hit.line: hit.column for hit in firsts}
    others = plain == 0 and len(texts) >= _FEW
    some_quoted = any(shape.quote for shape in shapes) and not all(shape.quote for shape in shapes)
    before = (-1, "")
    for index, line in enumerate(lines):
        for number, pattern in enumerate(patterns):
            match = pattern.match(line)
            if match:
                counts[number] += 1
                example = example or (match[0] if number == 0 else "")
                text = line[match.end() :]
                if some_quoted and shapes[number].quote and text.rstrip().endswith(shapes[number].quote):
                    text = text.rstrip()[:-1]
                # What one logger printed and another quotes comes twice, under two prefixes.
                again = text.strip() and before[0] not in (-1, number) and _same(text, before[1])
                cut.append(None if again else text)
                before = (-1, "") if again else (number, text)
                break
        else:
            cut.append(line[columns[index] :] if columns.get(index) else None if others and line.strip() else line)
    words = [f"the prefix {example.strip()!r} of {sum(counts.values())} lines" if example.strip()
             else f"the indentation of {sum(counts.values())} lines"]  # fmt: skip
    return _unsuffixed(cut, "" if some_quoted else shapes[0].quote, words)


def _same(one: str, other: str) -> bool:
    """Whether two lines differ by no more than what stands behind them."""
    length = min(len(one.rstrip()), len(other.rstrip())) - _BEHIND
    return length > 0 and one[:length] == other[:length] and abs(len(one) - len(other)) <= _BEHIND


def _cut(lines: list[str], firsts: Sequence[Hit]) -> tuple[list[str | None], list[str]]:
    """Lines whose prefixes have nothing in common, each cut where the log's words begin."""
    cut: list[str | None] = [*lines]
    for hit in firsts:
        cut[hit.line] = lines[hit.line][hit.column :]
    return cut, [f"what stands before {len(firsts)} lines"]


def _closing(lines: Sequence[str | None], quote: str) -> str:
    """What all lines end with from the quotation mark on that closes them; nothing where they have none in common."""
    told = [line.rstrip()[::-1] for line in lines if line and line.strip()]
    same = takewhile(lambda characters: len(characters) == 1, map(set, zip(*told, strict=False)))
    common = "".join(characters.pop() for characters in same)[::-1] if len(told) > 1 else ""
    at = common.find(quote)
    return common[at:] if at >= 0 else ""


def _unsuffixed(lines: Sequence[str | None], quote: str, words: list[str]) -> tuple[list[str | None], list[str]]:
    located = anchors.Located([line or "" for line in lines])
    rests: list[str] = []
    plain = 0
    for whole in anchors.WHOLE:
        for index, column in located.find(whole, 200):
            rest = (lines[index] or "")[column + len(whole) :].rstrip()
            if rest.strip() and len(rest) <= _LONGEST:
                rests.append(rest)
            else:
                plain += 1
    for index, _ in located.find(anchors.HEADS[0], 200):
        above = (lines[index - 1] or "").rstrip() if index else ""
        if above.startswith("#") and above[1:].strip() and len(above) <= _LONGEST:
            rests.append(above[1:])  # the empty line of a head
    shapes = _shapes(rests, plain) if rests and len(rests) >= plain else []
    closing = _closing(lines, quote) if quote and not shapes else ""
    if not shapes and not closing:
        return [*lines], words
    patterns = [re.compile(rf"{''.join(map(_pattern, shape.tokens))}$") for shape in shapes]
    if closing:
        patterns.append(re.compile(rf"{re.escape(closing)}$"))
        rests.append(closing)
    undo = bool(quote) and any(quote in text for text in rests) and not _UNESCAPED.search(located.text)
    cut: list[str | None] = []
    count = 0
    example = ""
    for line in lines:
        if line is None:
            cut.append(None)
            continue
        text = line.rstrip()
        for pattern in patterns:
            match = pattern.search(text[-_LONGEST - 100 :])
            if match:
                count += 1
                example = example or match[0]
                text = text[: len(text) - len(match[0])]
                break
        cut.append(unescaped(text) if undo and "\\" in text else text)
    return cut, [*words, f"the end {example.strip()!r} of {count} lines"]
