"""Secrets in string literals of source code: login("bob", "S"), strcmp(password, "S"), char passphrase[] = {"S"}."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries.patterns import Lazy
from postmortem.redaction import names
from postmortem.redaction.values import MASK, is_keyword, is_nothing, is_place, looks_made_up, looks_random

if TYPE_CHECKING:
    from postmortem.redaction.text import Take

_QUOTE = r"\\{0,3}[\"']"
_LITERAL = r"(?P<value>[^\"'\\\r\n]{3,512})(?=\\{0,3}[\"'])"
# NAME, "S"; NAME{"S"}; NAME[] = {"S"}; setName("S").
_BEHIND_NAME = Lazy(
    rf"(?P<before>(?P<callee>\b[A-Za-z_]\w{{0,63}}\s?\(\s?)?(?P<quote>{_QUOTE})?\b(?P<name>[A-Za-z_]\w{{1,63}})(?:\[\w{{0,8}}\])?(?(quote){_QUOTE})\s?"
    rf"(?P<join>[,({{]|=\s?\{{)\s?(?:(?:std::)?string\s?[({{])?[LuUR]?{_QUOTE})" + _LITERAL
)
_COMPARES = Lazy(r"\w*(?:cmp|equals?|compare|verify|check|match)\w*\s?\(\s?", re.I)
_SETS = Lazy(r"(?:set|with|use|put|update|change|reset)(?=[A-Z_])", re.I)
_SETTERS = Lazy(r"(?:set|put|define|add|insert|emplace|append|with)\w*\s?\(", re.I)
_OPTION = Lazy(r"[A-Z][A-Z0-9_]*")
# login("bob", "S"); mysql_real_connect(m, "host", "user", "S").
_LOGIN = Lazy(
    r"(?P<before>(?P<callee>\b\w{0,40}(?:\blog_?(?:in|on)|_log(?:in|on)|sign_?in|\bauth(?:enticate)?|credentials?))\s?[({]\s?(?:[^\"'(){},]{1,64},\s?){0,2}"
    rf"{_QUOTE}[^\"'\\\r\n]{{1,128}}{_QUOTE}\s?,\s?{_QUOTE})" + _LITERAL,
    re.I,
)
_SCHEMES = frozenset("basic bearer digest ntlm negotiate password username login cancel oauth oauth2".split())
_CONNECT = Lazy(
    r"(?P<before>\b(?:mysqli?_(?:real_)?connect|ftp_login|PQsetdbLogin)\s?\(\s?(?:[^\"'(){},]{1,64},\s?)?"
    rf"(?:{_QUOTE}[^\"'\\\r\n]{{0,128}}{_QUOTE}\s?,\s?){{2}}{_QUOTE})" + _LITERAL,
)
_REMARK, _WORD = Lazy(r"//|/\*|#"), Lazy(r"\b[A-Za-z_]\w{2,40}\b")
_QUOTED = Lazy(rf"(?P<before>{_QUOTE})" + _LITERAL)


HINTS = (
    "pw,", 'pw"', "pw'", "pw\\", "login(", "login=", "login =", "login:", 'login"', "login'", "login\\", "log_in(",
    "connect(", "sign_in(", "signin(", "logon(",
)  # fmt: skip
"""What a text with one of these has, in lower case."""


def mask_literals(text: str, take: Take) -> str:
    """The literals that are compared with, given to or kept as what has the name of a secret."""
    if '"' not in text and "'" not in text:
        return text

    def behind(match: re.Match[str]) -> str:
        name, value, join = match["name"], match["value"], match["join"]
        strength = names.strength(name, exact=True) if names.HINT.search(name) else None
        if strength is None or is_nothing(value) or is_keyword(value) or is_place(value):
            return match.group()
        callee = match["callee"] or ""
        told = (
            strength == "strong"
            and " " not in value
            and (
                (
                    join == ","
                    and (
                        _COMPARES.fullmatch(callee)
                        or _SETTERS.match(callee)
                        or (_OPTION.fullmatch(name) and not match["quote"])
                    )
                )
                or (join == "(" and _SETS.match(name))
                or (join[-1:] == "{" and name[:1].islower())
            )
            and (len(value) >= 8 or not names.is_of_tokens(name))
        )
        if not told and not (looks_random(value) if strength == "weak" or join == "," else looks_made_up(value)):
            return match.group()
        return match["before"] + take("name", value)

    def login(match: re.Match[str]) -> str:
        value = match["value"]
        if is_nothing(value) or is_place(value) or value[0] == "/" or " " in value or value.lower() in _SCHEMES:
            return match.group()
        return match["before"] + take("name", value)

    lower = text.lower()
    if any(mark in text for mark in ("(", "{")):
        text = _BEHIND_NAME.sub(behind, text)
        if any(mark in lower for mark in ("log", "sign", "auth", "cred")):
            text = _LOGIN.sub(login, text)
        if "connect" in lower or "login" in lower:
            text = _CONNECT.sub(login, text)
    return text


_REMARKED = 200
"""Characters of a comment that are looked at."""


def mask_remarked(text: str, take: Take) -> str:
    """A line of source with the literals masked that its comment calls a secret: p = "S"; // password."""
    remark = _REMARK.search(text)
    if remark is None or names.HINT.search(text) is None:
        return text
    words = _WORD.findall(text[remark.end() :][:_REMARKED])
    if not any(names.strength(word, exact=True) == "strong" for word in words):
        return text

    def quoted(match: re.Match[str]) -> str:
        value = match["value"]
        return match["before"] + take("name", value) if looks_random(value) and MASK not in value else match.group()

    return _QUOTED.sub(quoted, text)
