"""Secrets of which a text shows the beginning only, because it is cut there: a prefix or a word tells them, no length."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries.patterns import Lazy
from postmortem.redaction.gibberish import is_gibberish
from postmortem.redaction.values import MASK, is_irregular, is_key, is_nothing, looks_made_up

if TYPE_CHECKING:
    from postmortem.redaction.text import Take

CUT_AT = (79, 80)
"""Characters of a text that was cut where nothing says so: a string's value, the kernel's copy of the arguments."""
_END = r"(?P<end>(?:\\?[\"']?(?:\.\.\.|\u2026))?[\"')\]}]{0,3})$"
PREFIXES = (
    r"(?:sk[-_]|[rp]k_|gh[pousr]_|github_pat_|gl[a-z]{2,5}-|xox[a-z]-|xapp-|A[KS]IA|AIza|ya29\.|hv[sbr]\.|npm_|pypi-|dckr_"
    r"|eyJ|hf_|gsk_|sq0|shp[a-z]{2}_|dop_|dapi|tskey-|whsec_|SG\.|glsa_|lin_|nvapi-|\d{8,10}:AA)"
)
_PREFIXED = Lazy(rf"(?<![A-Za-z0-9])(?P<value>{PREFIXES}(?P<rest>[\w.+/=-]{{3,80}}))" + _END)
_SCHEMED = Lazy(r"(?P<before>(?:^|[^\w])(?:bearer|basic)[ +])(?P<value>[\w+/.~=-]{4,512})" + _END, re.I)
_SIGNED = Lazy(
    r"(?P<before>[?&;](?:sig|signature|hmac|token|code|key|auth)=)(?P<value>[\w+/.~%=-]{4,512})" + _END, re.I
)
_IDENTIFIED = Lazy(r"(?P<before>\b(?:identified by|password)\s{1,3}[\"'])(?P<value>[^\"'\\\s]{3,128})" + _END, re.I)
_ONLY_USER = Lazy(r"(?P<before>\b(?:https?|git|ssh)://)(?P<value>[\w~-]{6,256})" + _END)
_NO_USER = Lazy(r"(?P<before>\b[a-z][a-z+]{2,20}://:)(?P<value>[^\s/@\"']{2,256})" + _END)
_PAIR = Lazy(r"(?P<before>(?<![\w.:/-])[A-Za-z][\w-]{1,31}:)(?P<value>[A-Za-z0-9]{8,64})" + _END)
_TAIL = 700


def is_cut(text: str) -> bool:
    """Whether a text ends where more was."""
    return len(text) in CUT_AT or (len(text) > _LEAST and text.endswith(("...", "\u2026")))


_LEAST = 40


def mask_cut(text: str, take: Take) -> str:
    """The secret at the end of a text."""
    if not is_cut(text):
        return text
    head, tail = text[:-_TAIL], text[-_TAIL:]

    for pattern, kind, is_told in _PATTERNS:
        match = pattern.search(tail)
        if match is None or MASK in match["value"] or is_nothing(match["value"]) or not is_told(match):
            continue
        return head + tail[: match.start("value")] + take(kind, match["value"]) + match["end"]
    return text


def _is_mixed(match: re.Match[str]) -> bool:
    value = match["value"]
    return looks_made_up(value, 4) or (not value.islower() and not value.istitle() and value.isalpha())


def _is_prefixed(match: re.Match[str]) -> bool:
    return any(map(str.isdigit, match["rest"])) or any(map(str.isupper, match["rest"]))


_PATTERNS = (
    (_PREFIXED, "token", _is_prefixed),
    (_SCHEMED, "header", _is_mixed),
    (_SIGNED, "url", _is_mixed),
    (_IDENTIFIED, "name", lambda match: True),
    (_ONLY_USER, "url", lambda match: is_irregular(match["value"]) or is_key(match["value"])),
    (_NO_USER, "url", lambda match: True),
    (_PAIR, "name", lambda match: is_irregular(match["value"])),
)


_ALONE = Lazy(r"(?P<before>[A-Za-z][\w.-]{0,31}[:/])(?P<value>[^\s:/@]{4,64})(?P<after>(?:@[\w.:-]{1,64})?)")
_AT_HOST = Lazy(r"(?P<before>)(?P<value>[A-Za-z0-9!#$%^&*+]{6,64})(?P<after>@[A-Za-z][\w.:-]{0,64})")
_LOGIN = Lazy(r"(?P<before>\b(?:login|logon|user|auth)[ :=][\w.-]{1,32}[ /:])(?P<value>\S{4,64})(?P<after>)$", re.I)


def mask_short(text: str, take: Take) -> str:
    """A thread's name that is a user with a secret: bob:SECRET, sftp-bob/SECRET@host, login bob SECRET."""
    for match in (_ALONE.fullmatch(text), _AT_HOST.fullmatch(text), _LOGIN.search(text)):
        if match is None or MASK in match["value"] or is_nothing(match["value"]):
            continue
        told = (
            match["after"] and match["before"] and looks_made_up(match["value"] + "1") and not match["value"].islower()
        )
        if is_irregular(match["value"]) or told or is_gibberish(match["value"]):
            return text[: match.start()] + match["before"] + take("name", match["value"]) + match["after"]
    return text
