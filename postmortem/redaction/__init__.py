"""Secrets masked: what has a secret's name (environment, -D properties, options) or a secret's shape.

Names are compared by words ("keyStorePassword" is key, store, password), so that "keyboard",
"tokenizer" and "StringDeduplication" stay. A value masked by its name is masked wherever free text
repeats it. What names code (functions, files, modules, registers) is masked by shape alone.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import msgspec

from postmortem.model.strings import map_strings

if TYPE_CHECKING:
    from postmortem.model import Report

MASK = "[redacted]"

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = frozenset(
    [
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "pwd",
        "secret",
        "secrets",
        "token",
        "credential",
        "credentials",
        "apikey",
        "accesskey",
        "secretkey",
        "privatekey",
        "authtoken",
        "accesstoken",
        "bearer",
        "jwt",
    ]
)
_SECRET_ENDS = (
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "secretkey",
    "authtoken",
    "accesstoken",
    "clientsecret",
)
_KEYS_OF = frozenset(
    [
        "api",
        "access",
        "secret",
        "private",
        "encryption",
        "signing",
        "master",
        "auth",
        "account",
        "shared",
        "hmac",
    ]
)
# What a name is about when it ends so: a place, a rule or a measure, not the secret.
_ABOUT = frozenset(
    [
        "file",
        "path",
        "dir",
        "directory",
        "policy",
        "timeout",
        "expiry",
        "expires",
        "ttl",
        "length",
        "count",
        "limit",
        "size",
        "url",
        "uri",
        "endpoint",
        "type",
        "class",
        "enabled",
        "disabled",
        "name",
        "provider",
        "algorithm",
        "header",
        "format",
        "min",
        "max",
        "strength",
        "required",
    ]
)

# A JWT; AWS key ids; tokens of GitHub, GitLab, Slack, Google, Stripe, npm; private keys.
_SHAPES = re.compile(
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,})"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[A-Za-z0-9_-]{30,}|\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"
    r"|\bnpm_[A-Za-z0-9]{30,}"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{0,8192}(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?"
)
_BEARER = re.compile(r"\b(Bearer|Basic)([ +]|%20)(?=[A-Za-z0-9+/._~-]*[0-9+/._~-])[A-Za-z0-9+/._~-]{8,}=*", re.I)
_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{1,20}://)([^\s/?#@:\"'<>]{0,256}):([^\s/?#\"'<>]{1,512})@")
# NAME=value and NAME: value in text; the value runs to a blank or a separator, or is quoted.
_PAIR = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_.-]{1,128})(?P<join>=|: ?|\"\s{0,4}:\s{0,4})"
    r"(?P<value>\"[^\"]{1,4096}\"|'[^']{1,4096}'|[^\s,;&\"']{1,4096})"
)
_OPTION = re.compile(r"(?P<name>(?<!\S)--?[A-Za-z][A-Za-z0-9-]{1,64})(?P<join>\s{1,4})(?P<value>(?!-)\S{1,4096})")

# Fields that name code, files and machine state: changed by shape alone.
_STRUCTURAL = frozenset(
    [
        "function",
        "module",
        "file",
        "path",
        "soname",
        "build_id",
        "file_build_id",
        "where",
        "rule",
        "mnemonic",
        "instruction",
        "instruction_bytes",
        "permissions",
        "kind",
        "register",
        "text_kind",
        "syscall",
        "executable",
        "id",
        "schema_version",
    ]
)


def secret_name(name: str) -> bool:
    """Whether a variable, property or option so named holds a secret."""
    name = name.lstrip("-")
    if name in ("PWD", "OLDPWD"):  # the shell's working directories
        return False
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _ABOUT:
        return False
    if words[-1] == "pass" or any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDS) for word in words):
        return True
    return any(one in _KEYS_OF and other == "key" for one, other in itertools.pairwise(words))


def mask_shapes(text: str) -> str:
    """The text with what looks like a token, a key or a URL's credentials masked."""
    if len(text) < 8:
        return text
    if "://" in text:
        text = _URL.sub(rf"\1\2:{MASK}@", text)
    if "earer" in text or "asic" in text or "EARER" in text:
        text = _BEARER.sub(rf"\1\2{MASK}", text)
    return _SHAPES.sub(MASK, text)


class _Masker:
    """Masks by name and shape, and remembers the values that names gave away."""

    def __init__(self) -> None:
        self.values: set[str] = set()

    def take(self, value: str) -> str:
        bare = value.strip("\"'")
        # Shorter or purely numeric values would hit text that only happens to hold them.
        if len(bare) >= 6 and not bare.isdigit() and bare != MASK and bare not in ("changeit", "<none>"):
            self.values.add(bare)
        return MASK

    def _pair(self, match: re.Match[str]) -> str:
        name, value = match["name"], match["value"]
        # -Dname=value: the D is part of what the pattern took for the name.
        before = match.string[max(0, match.start() - 1) : match.start()]
        if before == "-" and name.startswith("D"):
            name = name[1:]
        if MASK in value or not secret_name(name):
            return match.group()
        return f"{match['name']}{match['join']}{self.take(value)}"

    def _option(self, match: re.Match[str]) -> str:
        if MASK in match["value"] or not secret_name(match["name"]):
            return match.group()
        return f"{match['name']}{match['join']}{self.take(match['value'])}"

    def text(self, text: str) -> str:
        """Free text: shapes, then NAME=value, then --name value."""
        if len(text) < 4:
            return text
        text = mask_shapes(text)
        if "=" in text or ":" in text:
            text = _PAIR.sub(self._pair, text)
        if "-" in text and " " in text:
            text = _OPTION.sub(self._option, text)
        return text

    def arguments(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """A command line: an option's value may be the next argument."""
        made = []
        expected = False
        for argument in arguments:
            if expected and not argument.startswith("-"):
                made.append(self.take(argument))
                expected = False
                continue
            expected = argument.startswith("-") and "=" not in argument and secret_name(argument)
            # One argument may be a whole value with blanks in it: -Dpassword=two words
            name, join, value = argument.partition("=")
            if join and value and secret_name(name.removeprefix("-D")):
                made.append(f"{name}={self.take(value)}")
            else:
                made.append(self.text(argument))
        return tuple(made)

    def entries(self, entries: dict[str, str]) -> dict[str, str]:
        """An environment or properties."""
        return {
            key: (self.take(value) if value else value) if secret_name(key) else self.text(value)
            for key, value in entries.items()
        }


def redact(report: Report) -> Report:
    """The report with secrets masked. Doing it twice changes nothing more."""
    masker = _Masker()
    process = msgspec.structs.replace(
        report.process,
        arguments=masker.arguments(report.process.arguments),
        environment=masker.entries(report.process.environment),
    )
    jvm = report.jvm
    if jvm is not None:
        jvm = msgspec.structs.replace(
            jvm, arguments=masker.arguments(jvm.arguments), properties=masker.entries(jvm.properties)
        )
    report = msgspec.structs.replace(report, process=process, jvm=jvm)

    seen: dict[tuple[bool, str], str] = {}

    def change(owner: str, field: str, text: str) -> str:
        structural = field in _STRUCTURAL or (
            owner in ("Flag", "RegisterNote", "Operand", "Crash") and field != "value"
        )
        key = (structural, text)
        if key not in seen:
            made = mask_shapes(text) if structural else masker.text(text)
            seen[key] = text if made == text else made
        return seen[key]

    report = map_strings(report, change)
    if not masker.values:
        return report
    # Longest first, so that a value which holds another is masked whole.
    known = "|".join(re.escape(value) for value in sorted(masker.values, key=len, reverse=True)[:256])
    pattern = re.compile(rf"(?<![A-Za-z0-9_])(?:{known})(?![A-Za-z0-9_])")

    def repeat(owner: str, field: str, text: str) -> str:
        if field in _STRUCTURAL or len(text) < 6:
            return text
        made = pattern.sub(MASK, text)
        return text if made == text else made

    return map_strings(report, repeat)
