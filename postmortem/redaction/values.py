"""What a value looks like: a secret, or something that only stands where one could."""

from __future__ import annotations

import re

from postmortem.model.queries.patterns import Lazy
from postmortem.redaction.gibberish import is_gibberish

MASK = "[redacted]"

_NOTHING = frozenset(
    """
    true false yes no on off none null nil undefined nan enabled disabled default required optional missing invalid
    failed denied expired unset empty ok error unknown redacted masked hidden secret password prompt <none> <null> <unset>
    """.split()
)
_BLANKED = Lazy(
    r"(?:\([\w :*&<>]{1,64}\) ?)?(?:0x0+|NULL|nullptr)(?: <[^<>]{0,64}>)?|\(nil\)|(?:0 )?'?\\0{1,3}'?"
    r"|\((?:none|null|nil|unset|empty|not set|hidden|masked|redacted)\)|<?(?:YOUR|your)[_ -][A-Za-z_-]{1,64}>?"
    r"|<(?:unavailable|optimized out)[^<>\"']{0,200}>|[*xX.•●#-]{2,}|\*+|<[A-Za-z_ ]+>|\$\{[\w.:-]+\}|\$[A-Z_]+|\{\{[^}]*\}\}|%\w+%|%[sdx]"
)
_PATH = Lazy(
    r"(?:file:/{0,3}|~|\.{1,2})?/[\w.@+-]+(?:/[\w.@+-]*)+|[A-Z]:\\[\w.\\ -]+|\.{0,2}/?[\w./-]+\.(?:pem|key|crt|cer|p12|pfx|jks|txt|json|ya?ml|conf|cfg|properties|env|so|jar)"
)
_CODE = Lazy(
    r"[A-Za-z_$][\w$]*(?:(?:\.|::|->)[A-Za-z_$<>~][\w$<>~]*)+(?:\(.*\)?)?|[A-Za-z_$][\w$:]*\(.*|[\w.]+@[0-9a-f]{1,16}"
)
_NUMBER = Lazy(r"[+-]?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?)(?:[kKmMgGtT][iI]?[bB]?|ms|s|%)?")
_LETTER, _DIGIT, _BLANK = Lazy(r"[^\W\d_]"), Lazy(r"\d"), Lazy(r"\s")
_LOOKED_AT = 4096
"""Characters of a value that are looked at."""
_SPECIAL = Lazy(r"[!@#$%^&*+=?~/\\|]")
# Values that many places hold for other reasons: masked where a name says so, but not looked for elsewhere.
_COMMON = frozenset(
    """
    changeit changeme password passw0rd secret admin administrator root user guest test testing default localhost
    postgres mysql oracle redis rabbitmq mongodb elastic example production staging development debug release master
    standard public private server client service system application keystore truststore anonymous
    """.split()
)


def is_nothing(value: str) -> bool:
    """Empty, a yes or no, a placeholder, or masked already."""
    bare = value.strip("\"'` \\")
    return not bare or bare.lower() in _NOTHING or MASK[:-1] in bare or _BLANKED.fullmatch(bare) is not None


def is_place(value: str) -> bool:
    """A path of a file, or a name out of program code."""
    return _PATH.fullmatch(value) is not None or (_CODE.fullmatch(value) is not None and not _is_coded(value))


def is_file(value: str) -> bool:
    """A path of a file."""
    return _PATH.fullmatch(value) is not None


def _is_coded(value: str) -> bool:
    """Whether letters and digits in a name change too often for a name: st.lrM50zTkUXoL34M1vUku."""
    return value[-1] == "$" or ("(" not in value and "@" not in value and len(_DIGITS.findall(value)) >= 5)


_DIGITS = Lazy(r"[A-Za-z](?=\d)|\d(?=[A-Za-z])")


_MARKER = Lazy(r"\[[A-Z_]{1,16}\]|</?[a-z_|]{1,16}>|<\|\w{1,32}\|>")


def is_marker(value: str) -> bool:
    """A special token of a model of language: [PAD], </s>, <|end|>."""
    return _MARKER.fullmatch(value) is not None


_USER_AND_SECRET = Lazy(r"(?P<user>[\w.$@-]{1,64})(?P<sign>[:/])(?P<secret>[^\s/:@]{4,128})(?P<host>@[\w./:-]{0,128})?")
_GROUPS = frozenset("users user admin admins staff wheel root group groups nogroup default public local".split())


def secret_of_user(value: str, *, plain: bool = True) -> str:
    """The secret in "bob:SECRET" or "scott/SECRET@host"; empty if the value is no user with one.

    plain: whether the secret may be a word.
    """
    found = _USER_AND_SECRET.fullmatch(value)
    if found is None or is_nothing(found["secret"]) or is_number(found["secret"]):
        return ""
    secret, user = found["secret"], found["user"]
    if looks_made_up(secret, 4) and not is_counted(secret):
        return "" if is_number(user) else secret
    if found["sign"] == "/":
        return secret if found["host"] and len(found["host"]) > 1 and "." not in user else ""
    plain = plain and len(secret) >= 6 and secret != user and secret.lower() not in _GROUPS and not is_place(value)
    return secret if plain and not is_number(user) else ""


def is_user_and_secret(value: str) -> bool:
    """A user with a secret: "bob:SECRET"."""
    return bool(secret_of_user(value))


def is_number(value: str) -> bool:
    """A number, with a unit perhaps."""
    return _NUMBER.fullmatch(value) is not None


def looks_made_up(value: str, least: int = 6) -> bool:
    """Letters with digits or signs among them, or that make no word, as passwords and tokens have."""
    value = value[:_LOOKED_AT]
    if len(value) < least or is_place(value) or is_number(value):
        return False
    mixed = _LETTER.search(value) is not None and (_DIGIT.search(value) or _SPECIAL.search(value)) is not None
    return mixed or is_gibberish(value)


def looks_random(value: str, least: int = 8) -> bool:
    """As made up, without blanks, and not just a word with a number behind it."""
    if not looks_made_up(value, least) or _BLANK.search(value) is not None:
        return False
    return len(value) >= 20 or re.fullmatch(r"[A-Z]?[a-z]+[-_.:#]?\d{1,3}", value) is None


_COUNTED = Lazy(r"[A-Za-z]+(?:[-_.:#/][A-Za-z]+)*(?:[-_.:#/]?\d{1,8})(?:[-_.:/]\d{1,4}){0,3}")


def is_counted(value: str) -> bool:
    """Words with a number behind them, as the keys of a lookup are: "orders-2026", "user:1041"."""
    return _COUNTED.fullmatch(value) is not None


def worth_looking_for(value: str) -> bool:
    """Whether a masked value may be masked wherever it stands: short and common ones would hit other things."""
    if len(value) < 6 or value.lower() in _COMMON or is_nothing(value) or is_place(value):
        return False
    if is_keyword(value) or (len(value) < 8 and value.isalpha()):
        return False
    return len(value) >= 10 if value.isdigit() else not is_number(value)


def is_word(value: str) -> bool:
    """One word in small letters."""
    return value.isalpha() and value.islower()


def is_keyword(value: str) -> bool:
    """A word of a programming language, or of one about them, as parsers hold it for a token."""
    return value.lower() in _KEYWORDS


_KEYWORDS = frozenset(
    """
    abstract alias and array as assert async auto await begin bool boolean break byte case catch char class colon comma
    comment const constant constructor continue debugger declare def default defer del delete delimiter do dot double elif
    else end endif enum eof eol error except export extends extern false final finally float for foreach from fn func
    function global goto if impl implements import in include indent inline instanceof int integer interface is keyword
    lambda let literal local long loop match mod module mut namespace native new newline nil none nonlocal not null number
    object of operator or override package pass primitive print private property protected protocol pub public punctuation
    punctuator raise record register return select self semicolon short signed sizeof space static strictfp string struct
    super switch symbol synchronized template term text then this throw throws trait transient true try type typedef typeof
    undefined union unless unsafe unsigned until use using val var virtual void volatile where while whitespace with yield
    identifier ident dedent expression statement
    """.split()
)


def is_key(value: str) -> bool:
    """A key where a user could stand: "4f2e91c07b3d", but not "deploy-user2" or "first.last"."""
    if is_counted(value) or is_place(value):
        return False
    if len(value) >= 16 and _DIGIT.search(value) is not None:
        return True
    return is_irregular(value)


def is_irregular(value: str) -> bool:
    """Letters and digits, or small letters and capitals, change so often that chance would hardly give the same again."""
    return len(_CHANGES.findall(value)) >= 3


def is_mixed(value: str) -> bool:
    """Letters of both cases and digits that change often: a key, whatever stands before it. No hash and no identifier."""
    told = 10 <= len(value) <= _LOOKED_AT and _KEY.fullmatch(value) is not None and is_irregular(value)
    return (
        told
        and not value.islower()
        and not value.isupper()
        and _DIGIT.search(value) is not None
        and not is_place(value)
    )


_KEY = Lazy(r"[A-Za-z0-9+/!#$%^&*~]+=*")
_CHANGES = Lazy(r"[A-Za-z](?=\d)|\d(?=[A-Za-z])|[a-z](?=[A-Z])")
_BEGINS_ALIKE = Lazy(r"0[xX]|.*(?:://|::)", re.DOTALL)


def is_piece(value: str) -> bool:
    """Whether the beginning or end of a secret tells it from all else: no scheme, namespace, address, word or path."""
    return _BEGINS_ALIKE.match(value) is None and not is_place(value) and is_irregular(value)


_OF_PERSONS = {
    "cvv": Lazy(r"\d{3,4}"),
    "cvv2": Lazy(r"\d{3,4}"),
    "cvc": Lazy(r"\d{3,4}"),
    "ssn": Lazy(r"\d{3}-?\d{2}-?\d{4}"),
}


def names_person(name: str, value: str) -> bool:
    """The numbers of cards and of persons, by their lengths."""
    pattern = _OF_PERSONS.get(re.split(r"[^a-z0-9]+", name.lower())[-1])
    return pattern is not None and pattern.fullmatch(value.strip("\"'")) is not None
