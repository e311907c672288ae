"""Secrets on command lines: an option's value may be the next argument, or be attached to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries.patterns import Lazy
from postmortem.redaction import names
from postmortem.redaction.values import is_nothing, is_number, is_place, looks_made_up

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.redaction.text import Take

_OPTION = Lazy(r"--?[A-Za-z][\w.-]*")
# Short options that take a password in some programs and something else in others: by what follows.
_USERS = frozenset(
    "-u -U --user --proxy-user --userpwd --http-user --login --basic --basic-auth --creds --credentials".split()
)
_MAYBE = frozenset("-p -a -w -W -k -K -P -A -X -c".split())
_HEADERS = frozenset("-H --header --headers --proxy-header --add-header".split())
_COOKIES = frozenset("-b --cookie --cookies".split())
_ALWAYS = frozenset(
    """
    -storepass -keypass -srcstorepass -deststorepass -srckeypass -destkeypass -passin -passout -pass -pw --pw --pass --pin
    --otp --oauth2-bearer --auth --key --access --apikey --pat --sas --salt --seed --signature --sig --session --sid
    --passwd --requirepass --masterauth --community --identity-token --registration-token --psk --rcon --dsn-password
    """.split()
)
# What programs sort or group by.
_COLUMNS = frozenset(
    "name id key value index date time type size created updated timestamp default primary user".split()
)
_NOT_ATTACHED = Lazy(
    r"-p(?:thread|ipe|g|edantic|rint\S*|rofile\S*|lugin\S*|ath\S*|ort\S*|id\S*|atch|ackage|arallel\S*|relink\S*)?"
)


# What short options mean to these programs, whatever the value looks like.
_OF_PROGRAM = {
    "-p": re.compile(r"sshpass|mongo\w*|mysql\w*|mariadb[\w-]*|rdesktop|psexec|login"),
    "-a": re.compile(r"redis-cli|redis-benchmark|valkey-cli"),
    "-w": re.compile(r"ldap\w+|dsconf|dsidm"),
    "-P": re.compile(r"sqlcmd|bcp|isql|tsql|zip|unzip|ipmitool"),
    "-k": re.compile(r"openssl|gpg2?"),
    "-K": re.compile(r"openssl"),
}


_PROGRAM_WITHIN = 32
"""The program, or what runs it and its own first words, stands among so many arguments."""


def mask_arguments(arguments: Sequence[str], take: Take, text: Callable[[str], str]) -> tuple[str, ...]:
    """The arguments with secrets masked; text: what masks an argument that is no option's value."""
    made: list[str] = []
    option = ""
    programs = [argument.rpartition("/")[2] for argument in arguments[:_PROGRAM_WITHIN]]
    for position, argument in enumerate(arguments):
        masked = None
        pattern = _OF_PROGRAM.get(option)
        if pattern is not None and not is_nothing(argument) and any(map(pattern.fullmatch, programs[:position])):
            masked = take("option", argument)
        masked = masked or _value_of(option, argument, take)
        if masked is None:
            masked = _alone(argument, take, text)
            option = argument if _OPTION.fullmatch(argument) else ""
        else:
            option = ""
        made.append(masked)
    return tuple(made)


def _value_of(option: str, argument: str, take: Take) -> str | None:
    """The argument masked as the value of the option before it; None when it is no secret of that option."""
    if not option or is_nothing(argument) or (argument.startswith("-") and _OPTION.fullmatch(argument)):
        return None
    if option in _HEADERS or option in _COOKIES:
        name, join, value = argument.partition(":" if option in _HEADERS else "=")
        if is_nothing(value) or (option in _HEADERS and names.strength(name) is None):
            return None
        if option in _COOKIES:
            return None if is_place(argument) or not join else take("option", argument)
        return f"{name}{join} {take('option', value.strip())}"
    if option in _USERS:
        user, join, password = argument.partition(":")
        if not join:
            user, join, password = argument.partition("%")
        if not join or not password or is_number(password) or password.startswith("//") or is_place(argument):
            return None
        return f"{user}{join}{take('option', password)}"
    if option in _ALWAYS or option.lstrip("-").lower() in ("key", "auth"):
        kind, join, rest = argument.partition(":")
        if join and kind in ("pass", "env", "file", "fd"):  # openssl's
            return f"pass:{take('option', rest)}" if kind == "pass" else None
        if option == "--key" and argument in _COLUMNS:
            return None
        return None if is_place(argument) or (is_number(argument) and len(argument) < 4) else take("option", argument)
    if option in _MAYBE:
        return (
            take("option", argument)
            if looks_made_up(argument.replace("/", "")) and "://" not in argument and ":" not in argument
            else None
        )
    strength = names.strength(option) if names.HINT.search(option) else None
    if strength == "strong":
        return take("option", argument)
    if strength == "weak" and looks_made_up(argument, 5):
        return take("option", argument)
    return None


def _alone(argument: str, take: Take, text: Callable[[str], str]) -> str:
    # One argument may be a whole value with blanks in it: -Dpassword=two words
    name, join, value = argument.partition("=")
    if join and value and re.fullmatch(r"[\w./:@-]+", name) and names.HINT.search(name):
        strength = names.strength(name.removeprefix("-D").removeprefix("/"))
        if (strength == "strong" or (strength == "weak" and looks_made_up(value, 5))) and not is_nothing(value):
            return argument if is_place(value) and strength == "weak" else f"{name}={take('option', value)}"
    if argument.startswith("-p") and len(argument) > 4 and "=" not in argument:
        value = argument[2:]
        if not _NOT_ATTACHED.fullmatch(argument) and (
            looks_made_up(value, 4) or (value.isalpha() and not value.islower())
        ):
            return f"-p{take('option', value)}"
    slash = re.fullmatch(r"(?P<name>/(?:p|pass|password|pwd|token|secret)):(?P<value>\S+)", argument, re.I)
    if slash is not None:
        return f"{slash['name']}:{take('option', slash['value'])}"
    user = re.fullmatch(r"(?P<name>-u)(?P<value>[\w.@-]+:[^\s/]\S*)", argument)
    if user is not None and not is_number(user["value"].partition(":")[2]):
        who, _, password = user["value"].partition(":")
        return f"-u{who}:{take('option', password)}"
    return text(argument)
