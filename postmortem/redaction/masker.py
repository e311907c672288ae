"""Masks the texts of a report, each once, and remembers the secrets that it met, to find them elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from parsers.limits import LIMITS
from postmortem.redaction import lines, names, text, tokens
from postmortem.redaction.arguments import mask_arguments
from postmortem.redaction.values import (
    MASK,
    is_counted,
    is_keyword,
    is_nothing,
    is_number,
    is_piece,
    is_place,
    is_word,
    looks_made_up,
    looks_random,
    names_person,
    worth_looking_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Context = Literal["code", "text", "thread", "typed"] | tuple[str, names.Strength]
"""code: names of functions, files and modules, where only unmistakable forms are masked. thread: names of threads. typed: what is a secret by its
type. Else running text, or the value of something with the name of a secret."""

_HINTS = (*text.HINTS, *lines.HINTS)
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.){1,4096})\"")
_LINE_END = re.compile(r"(?:\s|\\[nr])+")
_PIECE_OF_KEY = re.compile(
    r"(?<![A-Za-z0-9+/._-])(?=[a-z0-9+/]*[A-Z])(?=[A-Z0-9+/]*[a-z])(?=[A-Za-z+/]*[0-9])[A-Za-z0-9+/]{24,}={0,2}(?![A-Za-z0-9+/._-])"
)
_MOST_KNOWN, _MOST_LINES = LIMITS.masker_secrets, LIMITS.masker_lines
_SEEDS = (8, 12, 16)
"""Characters of a beginning or an end by which a cut secret is known."""
_LONGEST = LIMITS.masker_piece
_LONG = 256
"""Characters from which on a secret is looked for as it stands, not by a pattern."""


class Masker:
    """One report's. `patterns`: the user's own, for everything."""

    def __init__(self, patterns: Iterable[re.Pattern[str]] = ()) -> None:
        self._patterns = tuple(patterns)
        self._known: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._tokens: re.Pattern[str] | None = None
        self._parts: tuple[str, ...] = ()
        self._hints: tuple[str, ...] = _HINTS
        self._plain: set[str] = set()
        self._of_keys = False
        """Whether there is a private key: then base64 that stands alone may be a part of it."""

    def expect(self, texts: Sequence[str]) -> None:
        """The texts to come: what none of them can hold is not looked for in each."""
        joined = "\n".join(texts)
        lower = joined.lower()
        if len(lower) == len(joined):  # else a letter has another length in lower case
            self._hints = tuple(hint for hint in _HINTS if hint in lower)
        self._tokens, self._parts = tokens.active(texts, joined)
        if not self._patterns and len(lower) == len(joined):
            self._plain = set(texts) - tokens.holding(
                texts, lower, tokens.starts_of(texts), (*self._hints, *text.SIGNS, *map(str.lower, self._parts))
            )

    def is_plain(self, value: str) -> bool:
        """Whether nothing in a text that was expected can be a secret."""
        return value in self._plain

    def take(self, kind: str, value: str) -> str:
        """Count a secret, remember it, give the mask. Without a kind it is only remembered."""
        if kind:
            self._counts[kind] += 1
        self._of_keys = self._of_keys or kind == tokens.PRIVATE_KEY
        bare = value.strip("\"'` ")
        if worth_looking_for(bare):
            self._known.add(bare)
            decoded = unquote(bare)
            if decoded != bare and worth_looking_for(decoded):
                self._known.add(decoded)
            # A line of a key may stand alone where memory holds it from the middle on.
            lines = _LINE_END.split(bare)[:_MOST_LINES]
            self._known.update(line for line in lines if len(lines) > 1 and len(line) >= 16 and looks_random(line))
        return MASK

    def _counted(self, made: str) -> tuple[str, Counter[str]]:
        counts, self._counts = self._counts, Counter()
        return made, counts

    def value(self, value: str, context: Context) -> tuple[str, Counter[str]]:
        """One text masked, and how many secrets of each kind were in it."""
        strength = context[1] if isinstance(context, tuple) else None
        if len(value) < 3 and not (strength == "strong" and value.isdigit() and len(value) > 1):
            return value, Counter()  # the code of a secret's first character is one
        made = self._users(value)
        if context == "code":
            return self._counted(text.mask_path(self._shapes(made), self.take))
        if context == "typed":
            alone = made.isprintable() and not is_number(made) and not any(mark in made for mark in '{"<(:')
            made = self.take("name", made) if alone and looks_made_up(made) else text.mask_members(made, self.take)
            return self._counted(self.text(made))
        if context == "thread":
            return self._counted(text.mask_name(self.text(made), self.take))
        if (
            isinstance(context, tuple)
            and not is_nothing(made)
            and (
                (
                    strength == "strong"
                    and not (is_place(made) and made.startswith("/"))
                    and not _is_harmless(context[0], made)
                )
                or (strength == "weak" and self._is_weak_secret(context[0], _pointed_at(made)))
            )
        ):
            pointed = _POINTED_AT.fullmatch(made) is not None  # else the words of a structure
            for held in _QUOTED.findall(made):
                if pointed or not is_word(held):
                    self.take("", held)  # what a pointer to characters points at, and may be elsewhere
            return self._counted(self.take("name", made))
        return self._counted(self.text(made))

    @staticmethod
    def _is_weak_secret(name: str, value: str) -> bool:
        if is_place(value) or is_number(value):
            if names_person(name, value):
                return True
            return name.upper().endswith(("PIN", "OTP")) and value.isdigit() and len(value) >= 4
        if name.rpartition(".")[2].lower().endswith(("auth", "basic", "cookie", "pat")):
            return len(value) >= 4
        if name.rpartition(".")[2].lower().endswith("key") and is_counted(value):
            return False
        return looks_random(value) or (len(value) >= 16 and value.isalnum() and not value.islower())

    def arguments(self, arguments: Sequence[str]) -> tuple[tuple[str, ...], Counter[str]]:
        """A command line masked."""
        made = mask_arguments(arguments, self.take, lambda argument: self.text(self._users(argument)))
        _, counts = self._counted("")
        return made, counts

    def text(self, value: str) -> str:
        """Running text."""
        value = self._shapes(value)
        if len(value) > _LONGEST:
            return "".join(self._read(value[start : start + _LONGEST]) for start in range(0, len(value), _LONGEST))
        return self._read(value)

    def _read(self, value: str) -> str:
        lower = value.lower()
        if not any(hint in lower for hint in self._hints):
            return value
        value = text.mask_headers(value, self.take)
        value = text.mask_pairs(value, self.take)
        value = text.mask_sentences(value, self.take)
        value = lines.mask_lines(value, self.take)
        if " -" in value:
            # A command line in one string; blanks stay as they are.
            pieces = re.split(r"(\s+)", value)
            pieces[::2] = mask_arguments(pieces[::2], self.take, lambda argument: argument)
            value = "".join(pieces)
        return value

    def _shapes(self, value: str) -> str:
        """Addresses and known tokens."""
        if any(sign in value for sign in text.SIGNS):
            value = text.mask_addresses(value, self.take)
        if self._tokens is not None and len(value) >= tokens.SHORTEST and any(part in value for part in self._parts):
            value = self._tokens.sub(self._token, value)
        return value

    def _token(self, match: re.Match[str]) -> str:
        if MASK in match.group():
            return match.group()
        return self.take((match.lastgroup or "token").replace("_", " "), match.group())

    def _users(self, value: str) -> str:
        for pattern in self._patterns:
            value = pattern.sub(self._pattern, value)
        return value

    def _pattern(self, match: re.Match[str]) -> str:
        if not match.group() or MASK in match.group():
            return match.group()
        return self.take("pattern", match.group())

    def elsewhere(self, not_these: set[str]) -> Callable[[str, Context], tuple[str, Counter[str]]] | None:
        """What masks the secrets met wherever a text repeats them, or the beginning or end of one where it was cut.

        not_these: words that name other things in the report. None when there is nothing to look for.
        """
        known = sorted(self._known - not_these, key=len, reverse=True)[:_MOST_KNOWN]
        if not known:
            return None
        # Patterns of long values take their time to make; these are unmistakable anyway.
        long = [value for value in known if len(value) > _LONG]
        known = known[len(long) :]
        # Longest first, so that a value which holds another is masked whole.
        random = [value for value in known if len(value) >= 12 and looks_random(value)]
        words = [value for value in known if value not in set(random)]
        whole = [rf"(?:{_any(random)})"] if random else []
        if words:
            whole.append(rf"(?<![A-Za-z0-9_])(?:{_any(words)})(?![A-Za-z0-9_])")
        pattern = re.compile("|".join(whole)) if whole else None
        in_code = re.compile(_any(random)) if random else None
        ends = [(value, _beginning(value), _end(value)) for value in random]
        parts = {part for _, *both in ends for part in both if part}
        seeds = re.compile(_any(parts)) if parts else None

        def repeated(match: re.Match[str] | None = None) -> str:
            self._counts["repeated"] += 1
            return MASK

        def piece(match: re.Match[str]) -> str:
            found = match.group()
            return repeated() if looks_random(found) and not is_place(found) else found

        def change(value: str, context: Context) -> tuple[str, Counter[str]]:
            if self._of_keys and context == "text":
                value = _PIECE_OF_KEY.sub(piece, value)
            for secret in long if len(value) > _LONG else ():
                if secret in value:
                    self._counts["repeated"] += value.count(secret)
                    value = value.replace(secret, MASK)
            if context == "code":
                return self._counted(in_code.sub(repeated, value) if in_code is not None else value)
            if len(value) < 6:
                return self._counted(value)
            if pattern is not None:
                value = pattern.sub(repeated, value)
            if seeds is not None and seeds.search(value) is not None:
                for secret, first, last in ends:
                    value = _without_cuts(value, secret, first, last, repeated)
            return self._counted(value)

        return change


def _is_harmless(name: str, value: str) -> bool:
    """A parser's token, or a number that counts or places something."""
    value = _pointed_at(value)
    return (names.is_of_tokens(name) and is_keyword(value)) or (names.is_measure(name) and is_number(value))


_POINTED_AT = re.compile(
    r"(?:0x[0-9a-fA-F]{1,16} |@0x[0-9a-fA-F]{1,16}: )?(?:<[^<>]{0,200}> )?\"((?:[^\"\\]|\\.)*)\"?(?:\.\.\.)?"
)


def _pointed_at(value: str) -> str:
    """The characters of a string, or those that a debugger shows behind a pointer or a reference, or the value as it is."""
    found = _POINTED_AT.fullmatch(value)
    return value if found is None else found[1]


def _any(values: Iterable[str]) -> str:
    return "|".join(re.escape(value) for value in values)


def _beginning(secret: str) -> str:
    """The shortest beginning that is like no other text; empty if there is none."""
    return next((secret[:length] for length in _SEEDS if is_piece(secret[:length])), "")


def _end(secret: str) -> str:
    return next((secret[-length:] for length in _SEEDS if is_piece(secret[-length:])), "")


def _without_cuts(text: str, secret: str, first: str, last: str, count: Callable[[], str]) -> str:
    """The text without a beginning or an end of a secret, of which the rest was cut off."""
    at = text.find(first) if first else -1
    if at >= 0:
        length = len(first)
        while length < len(secret) and text[at + length : at + length + 1] == secret[length]:
            length += 1
        text = text[:at] + count() + text[at + length :]
    at = text.find(last) if last else -1
    if at >= 0:
        seed = length = len(last)
        while length < len(secret) and at + seed > length and text[at + seed - length - 1] == secret[-length - 1]:
            length += 1
        text = text[: at + seed - length] + count() + text[at + seed :]
    return text
