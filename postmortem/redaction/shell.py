"""Secrets in a command that a shell is given as one argument: sh -c 'mysql -pSECRET | gzip'."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from postmortem.model.queries.patterns import Lazy
from postmortem.redaction import programs
from postmortem.redaction.values import MASK, is_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.redaction.text import Take

_WORD = Lazy(
    r"(?:[^\s\"'\\|&;<>()`]|\\.|\"(?:[^\"\\]|\\.)*+(?:\"|$)|'[^']*+(?:'|$))++|(?P<end>[|&;()`\n])[|&;()`\s]*+|[<>]",
    re.DOTALL,
)
_QUOTES = Lazy(r"\\(?P<escaped>.)|\"(?P<double>(?:[^\"\\]|\\.)*+)(?:\"|$)|'(?P<single>[^']*+)(?:'|$)", re.DOTALL)
_MOST_WORDS = 1024


def is_command(arguments: Sequence[str], position: int, option: str) -> bool:
    """Whether the argument there is a command for a shell."""
    return (
        option[:1] == "-"
        and option[-1:] == "c"
        and option.isascii()
        and any(
            programs.program_name(argument) in programs.SHELLS for argument in arguments[:position][: programs.WITHIN]
        )
    )


def mask_command(command: str, take: Take, mask: Callable[[Sequence[str]], Sequence[str]]) -> str:
    """The command with the arguments of each program in it masked by `mask`; quotes and blanks stay."""
    commands: list[list[re.Match[str]]] = [[]]
    joins: list[str] = []
    for match in itertools.islice(_WORD.finditer(command), _MOST_WORDS):
        if match["end"] is not None:
            commands.append([])
            joins.append(match["end"])
        else:
            commands[-1].append(match)
    changes: list[tuple[int, int, str]] = []
    bare = [
        [_QUOTES.sub(lambda found: found[found.lastgroup or 0], word.group()) for word in words] for words in commands
    ]
    for index, (words, plain) in enumerate(zip(commands, bare, strict=True)):
        piped = index < len(joins) and joins[index] == "|"
        made = _said(plain, bare[index + 1], take) if piped else None
        for word, before, after in zip(words, plain, made or mask(plain), strict=True):
            if after != before:
                quote = word.group()[0] if word.group()[0] in "\"'" and word.group()[-1] == word.group()[0] else ""
                changes.append((word.start(), word.end(), quote + after + quote))
    pieces, done = [], 0
    for start, end, text in changes:
        pieces += [command[done:start], text]
        done = end
    return "".join((*pieces, command[done:]))


def _said(words: Sequence[str], reader: Sequence[str], take: Take) -> Sequence[str] | None:
    """What echo or printf writes to a program that reads a secret: the words with it masked; None when it is no such."""
    if len(words) < 2 or words[0] not in ("echo", "printf") or not reader:
        return None
    name = programs.program_name(reader[0])
    if name not in programs.READERS or not (
        name in ("chpasswd", "cryptsetup", "kinit", "smbpasswd", "su")
        or (name == "sudo" and any(word.startswith("-") and "S" in word for word in reader))
        or any("stdin" in word or "passphrase-fd" in word for word in reader)
    ):
        return None
    secret = words[-1]
    user, colon, rest = secret.partition(":") if name == "chpasswd" else ("", "", secret)
    if is_nothing(rest) or secret.startswith(("-", "$")) or MASK in secret:
        return None
    return (*words[:-1], f"{user}{colon}{take('option', rest)}")
