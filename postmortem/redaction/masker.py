"""Masks the texts of a report, each once, and remembers the secrets that it met, to find them elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from parsers.limits import LIMITS
from postmortem.redaction import cuts, lines, lists, literals, names, programs, text, tokens
from postmortem.redaction.arguments import mask_arguments, mask_jvm_arguments
from postmortem.redaction.values import (
    MASK,
    is_counted,
    is_irregular,
    is_key,
    is_nothing,
    is_number,
    is_piece,
    is_place,
    is_word,
    looks_made_up,
    looks_random,
    names_person,
    secret_of_user,
    worth_looking_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Context = Literal["code", "text", "thread", "typed", "source"] | tuple[str, names.Strength | Literal["user"], str]
"""code: names of functions, files and modules, where only unmistakable forms are masked. thread: names of threads. typed: what is a secret by its
type. source: a line of source. Else running text, or the value of something with the name of a secret, or of a user: its name, what the
name says, and its type if it has one."""

_HINTS = (
    *text.HINTS,
    *lines.HINTS,
    *lists.HINTS,
    *literals.HINTS,
    "-user",
    "pepper",
    "community",
    "priv",
    "unseal",
    "account",
    "/p:",
    " auth ",
    "pin\\",
    " -hp",
)
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.){1,4096})\"")
_LINE_END = re.compile(r"(?:\s|\\[nr])+")
_PIECE_OF_KEY = re.compile(
    r"(?<![A-Za-z0-9+/._-])(?=[a-z0-9+/]*[A-Z])(?=[A-Z0-9+/]*[a-z])(?=[A-Za-z+/]*[0-9])[A-Za-z0-9+/]{24,}={0,2}(?![A-Za-z0-9+/._-])"
)
_MOST_KNOWN, _MOST_LINES = LIMITS.masker_secrets, LIMITS.masker_lines
_SEEDS = (8, 12, 16)
"""Characters of a beginning or an end by which a cut secret is known."""
_DEEPEST = 2
"""How far lists and command lines within arguments are looked into."""
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
        self._programs: tuple[str, ...] = programs.MARKS
        self._plain: set[str] = set()
        self._depth = 0
        self._of_keys = False
        """Whether there is a private key: then base64 that stands alone may be a part of it."""

    def expect(self, texts: Sequence[str]) -> None:
        """The texts to come: what none of them can hold is not looked for in each."""
        joined = "\n".join(texts)
        lower = joined.lower()
        if len(lower) == len(joined):  # else a letter has another length in lower case
            self._hints = tuple(hint for hint in _HINTS if hint in lower)
            self._programs = tuple(mark for mark in programs.MARKS if mark in lower)
        self._tokens, self._parts = tokens.active(texts, joined)
        if not self._patterns and len(lower) == len(joined):
            self._plain = set(texts) - tokens.holding(
                texts,
                lower,
                tokens.starts_of(texts),
                (*self._hints, *self._programs, *text.SIGNS, *map(str.lower, self._parts)),
            )
            self._plain -= {text for text in self._plain if cuts.is_cut(text)}

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
            return self._counted(cuts.mask_short(text.mask_name(self.text(made), self.take), self.take))
        if context == "source":
            made = literals.mask_literals(literals.mask_remarked(made, self.take), self.take)
            return self._counted(self.text(made))
        if isinstance(context, tuple) and not is_nothing(made):
            return self._counted(self._named(*context, made))
        return self._counted(self.text(made))

    def _named(self, name: str, strength: str, type_: str, value: str) -> str:
        """The value of what has the name of a secret, or of a user."""
        shown = _pointed_at(value)
        if strength == "user":
            return self.text(_each(value, lambda held: self._of_user(name, held)))
        if _is_bare_pointer(value, type_) or _is_counted_number(name, value, type_):
            return value
        if strength == "weak":
            if not self._is_weak_secret(name, shown):
                return self.text(_each(value, lambda held: self._of_weak(name, held)))
        elif (is_place(shown) and shown.startswith("/")) or names.is_harmless(name, shown):
            return self.text(value)
        elif _has_members(value):
            return self.text(self._members(name, value))
        pointed = _POINTED_AT.fullmatch(value) is not None  # else the words of a structure
        for held in _QUOTED.findall(value):
            if pointed or not is_word(held):
                self.take("", held)  # what a pointer to characters points at, and may be elsewhere
        return self.take("name", value)

    def _of_user(self, name: str, value: str) -> str:
        secret = secret_of_user(value, plain=names.is_login(name))
        if secret:
            user, found, rest = value.partition(secret) if not value.startswith(secret) else ("", "", value)
            return f"{user}{self.take('name', secret)}{rest}" if found else value
        # The login of a service may be a token.
        token = len(value) >= 20 and "://" not in value and is_key(value) and is_irregular(value)
        return self.take("name", value) if token else value

    def _of_weak(self, name: str, value: str) -> str:
        return self.take("name", value) if not is_nothing(value) and self._is_weak_secret(name, value) else value

    def _members(self, name: str, value: str) -> str:
        """A structure with the name of a secret: the characters in it; a parser's token has words there."""
        of_parser = names.is_of_tokens(name)

        def take(kind: str, held: str) -> str:
            if of_parser and not looks_random(held):
                return held
            return self.take(kind, "" if is_word(held) else held)

        return text.mask_members(value, take)

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

    def arguments(self, arguments: Sequence[str], *, of_jvm: bool = False) -> tuple[tuple[str, ...], Counter[str]]:
        """A command line masked."""
        mask = mask_jvm_arguments if of_jvm else mask_arguments
        made = mask(arguments, self.take, lambda argument: self.text(self._users(argument)))
        _, counts = self._counted("")
        return made, counts

    def text(self, value: str) -> str:
        """Running text."""
        value = cuts.mask_cut(self._shapes(value), self.take)
        if len(value) > _LONGEST:
            return "".join(self._read(value[start : start + _LONGEST]) for start in range(0, len(value), _LONGEST))
        return self._read(value)

    def _read(self, value: str) -> str:
        lower = value.lower()
        of_program = any(mark in lower for mark in self._programs)
        if not of_program and not any(hint in lower for hint in self._hints):
            return value
        value = text.mask_headers(value, self.take)
        value, listed = lists.mask_lists(value, self._words)
        value = text.mask_path(literals.mask_literals(value, self.take), self.take)
        value = text.mask_pairs(value, self.take)
        value = text.mask_sentences(value, self.take)
        value = lines.mask_lines(value, self.take)
        if not listed and (of_program or any(mark in value for mark in (" -", " /p", "AUTH ", " set "))):
            value = self._command(value)
        return value

    def _command(self, value: str) -> str:
        """A command line in one string; blanks and quotes stay as they are."""
        pieces = _BLANKS.split(value)
        pieces[::2] = self._words(pieces[::2])
        return "".join(pieces)

    def _words(self, words: Sequence[str]) -> tuple[str, ...]:
        """The words of a text as a command line."""
        return mask_arguments(words, self.take, self._element, of_text=True)

    def _element(self, value: str) -> str:
        """One argument in a list, which may be a command line or a list itself."""
        if self._depth >= _DEEPEST or not (" -" in value or '",' in value or "'," in value):
            return value
        self._depth += 1
        value, listed = lists.mask_lists(value, self._words)
        if not listed:
            value = self._command(value)
        self._depth -= 1
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


# Quotes around a word of a text belong to the text; backslashes are before them where a debugger writes a string.
_BLANKS = re.compile(r"((?:\\{0,3}[\"'`][,.;:)\]]{0,2})?\s+\\{0,3}[\"'`]?|^\\{0,3}[\"'`]|\\{0,3}[\"'`]$)")
_INTEGER = re.compile(
    r"(?:(?:const|volatile|unsigned|signed|long|short|int|char|bool|float|double|byte|boolean|static|mut) ?)+"
    r"|(?:const )?(?:std::|__)?(?:u?int\d+_t|s?size_t|[uif](?:8|16|32|64|128|size))"
)
_CHARACTER = re.compile(r" '(?:[^'\\]|\\.{1,3})'$")


def _is_bare_pointer(value: str, type_: str) -> bool:
    """An address of something: no secret, whatever it points at."""
    return type_.endswith(("*", "&")) and re.fullmatch(r"0x[0-9a-fA-F]{1,16}", value) is not None


def _is_counted_number(name: str, value: str, type_: str) -> bool:
    """A number by its type that is too small for a secret."""
    if _INTEGER.fullmatch(type_) is None:
        return False
    number = _CHARACTER.sub("", value)
    return is_number(number) and names.is_counted_number(name, number.lstrip("+-"))


_NAMED_MEMBER = re.compile(r"[{,] ?(?!_M_)[A-Za-z_]\w{0,64} ?(?:=|: )")
_NUMBERS = re.compile(r"\{(?:-?(?:0x)?[0-9a-fA-F]{1,16}(?: '[^']{1,5}')?, ){3}")


def _has_members(value: str) -> bool:
    """Whether a value is a structure whose members say what they are; bytes in it could be the secret."""
    return "{" in value and _NAMED_MEMBER.search(value) is not None and _NUMBERS.search(value) is None


_HELD = re.compile(r"\"(?P<held>(?:[^\"\\]|\\(?![0-7]{3}).){3,4096}+)(?P<rest>(?:\\[0-7]{3})?)")


def _each(value: str, change: Callable[[str], str]) -> str:
    """The value with each string in it changed, or changed itself where it has no quotes; its end is at a NUL."""
    if '"' not in value:
        return change(value)
    return _HELD.sub(lambda match: f'"{change(match["held"])}{match["rest"]}', value)


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
