"""Secrets on command lines: an option's value may be the next argument, or be attached to it, or follow a word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model.queries.patterns import Lazy
from postmortem.redaction import names, programs, shell
from postmortem.redaction.values import (
    MASK,
    is_file,
    is_irregular,
    is_key,
    is_marker,
    is_mixed,
    is_nothing,
    is_number,
    is_place,
    is_user_and_secret,
    looks_made_up,
    looks_random,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from postmortem.redaction.text import Take

_OPTION = Lazy(r"--?[A-Za-z][\w.-]*|/[A-Za-z]{1,2}")
# Short options that take a password in some programs and something else in others: by what follows.
_USERS = frozenset(
    """
    -u -U --user --proxy-user --proxy-auth --userpwd --http-user --http-auth --login --basic --basic-auth --creds
    --credentials --auth-user --src-creds --dest-creds --cert -E
    """.split()
)
_MAYBE = frozenset("-p -a -w -W -k -K -P -A -X -c".split())
_HEADERS = frozenset("-H --header --headers --proxy-header --add-header".split())
_COOKIES = frozenset("-b --cookie --cookies".split())
_ALWAYS = frozenset(
    """
    -storepass -keypass -srcstorepass -deststorepass -srckeypass -destkeypass -passin -passout -pass -pw --pw --pass --pin
    --otp --oauth2-bearer --auth --key --access --apikey --pat --sas --salt --seed --signature --sig --session --sid
    --passwd --requirepass --masterauth --community --identity-token --registration-token --psk --rcon --dsn-password
    -hashes --hashes
    """.split()
)
# What programs sort or group by.
_COLUMNS = frozenset(
    "name id key value index date time type size created updated timestamp default primary user".split()
)
_NOT_ATTACHED = Lazy(
    r"-p(?:thread|ipe|g|edantic|rint\S*|rofile\S*|lugin\S*|ath\S*|ort\S*|id\S*|atch|ackage|arallel\S*|relink\S*)?"
)
# CVS' :pserver:user:SECRET@host:/path; QEMU's secret,id=x,data=SECRET.
_PLACED = Lazy(
    r"(?P<before>:[pgs]server:[\w.-]{1,64}:|secret,(?:[\w-]{1,32}=[^,]{0,128},){0,8}data=)(?P<value>[^\s@,]{3,512})(?P<after>(?:[@,].*)?)"
)
_WORDS_BEFORE = frozenset("bearer basic".split())
# What a sentence goes on with behind the name of an option.
_SPOKEN = frozenset(
    "option options argument flag parameter value is was and or not must requires required given in for".split()
)
_SETS = frozenset("set configure config add".split())


def mask_arguments(
    arguments: Sequence[str], take: Take, text: Callable[[str], str], *, of_text: bool = False
) -> tuple[str, ...]:
    """The arguments with secrets masked.

    text: what masks an argument that is no option's value. of_text: they are the words of a text, in which the blanks of
    a value part it, too.
    """
    known = programs.known(arguments)
    behind_words = _behind_words(arguments, known) if known.words else {}
    made: list[str] = []
    option = ""
    in_phrase = False
    for position, argument in enumerate(arguments):
        masked = None
        if in_phrase and argument.isalpha() and argument.islower():
            masked = take("option", argument)
        in_phrase = in_phrase and masked is not None
        meaning = known.options.get(option)
        if meaning is not None and not meaning.following and not meaning.attached and meaning.since < position:
            option = ""
        if masked is None and meaning is not None and meaning.following and meaning.since < position:
            masked = _known_value(meaning.sign, argument, take)
        if masked is None and position in behind_words:
            masked = _known_value(behind_words[position], argument, take)
        if masked is None:
            masked = None if of_text and argument in _SPOKEN else _value_of(option, argument, take)
            in_phrase = of_text and masked is not None and names.is_of_phrase(option)
        if masked is None and position:
            masked = _behind_word(arguments, position, take)
        if masked is None:
            masked = _attached(argument, known, position, take)
            last = option
            option = argument if masked is None and _OPTION.fullmatch(argument) else ""
            if masked is None and shell.is_command(arguments, position, last):
                argument = shell.mask_command(argument, take, lambda words: mask_arguments(words, take, text))
            if masked is None:
                masked = _alone(argument, take, text)
        else:
            option = ""
        made.append(masked)
    return tuple(made)


def mask_jvm_arguments(arguments: Sequence[str], take: Take, text: Callable[[str], str]) -> tuple[str, ...]:
    """A JVM's: what begins with no "-" behind a masked -D… is the rest of its value, which has blanks."""
    made = list(mask_arguments(arguments, take, text))
    within = False
    for position, argument in enumerate(arguments):
        if argument.startswith("-"):
            within = argument.startswith("-D") and made[position].endswith("=" + MASK)
        elif within and argument and made[position] == argument:
            made[position] = take("option", argument)
    return tuple(made)


def _behind_words(arguments: Sequence[str], known: programs.Known) -> dict[int, str]:
    """The positions of secrets behind words, with the sign that is between user and secret there."""
    found: dict[int, str] = {}
    for since, form in known.words:
        places = [since] + [
            place for place in range(since + 1, len(arguments)) if arguments[place] and arguments[place][0] != "-"
        ]
        starts = range(1) if form[0] == "^" else range(1, len(places))
        for start in starts:
            here = places[start : start + len(form)]
            if len(form) == 1 and form[0].startswith("*"):
                sign = form[0][1]
                user, between, rest = arguments[here[0]].partition(sign)
                if between and re.fullmatch(r"[\w$#./-]+", user) and (form[0][-1] != "@" or "@" in rest):
                    found.setdefault(here[0], sign if form[0][-1] != "@" else ":S@")
                continue
            if len(here) < len(form) or here[-1] in found or not _follows(arguments, here[-1]):
                continue
            if all(_fits(item, arguments[place]) for item, place in zip(form[:-1], here, strict=False)):
                found[here[-1]] = ""
                break
    return found


def _follows(arguments: Sequence[str], place: int) -> bool:
    """Whether what is there may stand for itself: it is no option's value. openssl passwd -6 SECRET."""
    return arguments[place - 1][:1] != "-" or re.fullmatch(r"-(?:\d|apr1|--)", arguments[place - 1]) is not None


def _fits(item: str, word: str) -> bool:
    if item in ("*", "^"):
        return True
    return word.startswith(item[:-1]) if item.endswith("*") else word.lower() == item


def _known_value(sign: str, argument: str, take: Take) -> str | None:
    """The argument as the value of an option, or behind a word, of a program that is known."""
    if is_nothing(argument) or argument.startswith("-") or MASK in argument:
        return None
    if not sign:
        return None if "=" in argument.rstrip("=") or is_file(argument) else take("option", argument)
    user, found, secret = argument.partition(sign[0])
    if not found or not secret or (sign == ":" and secret.startswith("//")) or is_nothing(secret):
        return None
    if sign in ("/", ":S@"):
        secret, at, rest = secret.partition("@")
        return f"{user}{found}{take('option', secret)}{at}{rest}" if secret else None
    return f"{user}{sign}{take('option', secret)}"


def _behind_word(arguments: Sequence[str], position: int, take: Take) -> str | None:
    """Bearer SECRET; AUTH SECRET; set aws_secret_access_key SECRET."""
    word, argument = arguments[position - 1], arguments[position]
    if word[:2] == "-H" and word[-1:] == ":" and names.strength(word[2:]) == "strong" and not is_nothing(argument):
        return take("option", argument)  # a header of which only the name is in this word
    if not word.isascii() or word[:1] in ("-", "/", "") or is_nothing(argument) or argument[:1] == "-":
        return None
    if word.lower() in _WORDS_BEFORE or word == "AUTH":
        return take("option", argument) if looks_random(argument) else None
    if len(word) > 64 or names.HINT.search(word) is None or "=" in argument.rstrip("="):
        return None
    if not re.fullmatch(r"[A-Za-z][\w.-]*", word) or names.strength(word) != "strong" or is_file(argument):
        return None
    told = position > 1 and arguments[position - 2].lower() in _SETS
    return take("option", argument) if told or is_irregular(argument) else None


def _attached(argument: str, known: programs.Known, position: int, take: Take) -> str | None:
    """-pSECRET, to a program that is known to take it so."""
    if not known.options or argument[:1] != "-":
        return None
    for option, meaning in known.options.items():
        if (
            meaning.attached
            and meaning.since < position
            and len(argument) > len(option)
            and argument.startswith(option)
            and (len(option) == 2 or not meaning.following)
        ):
            value = argument[len(option) :]
            if meaning.sign:
                value = value.removeprefix("=")
            masked = _known_value(meaning.sign, value, take) if value[:1] not in ("=", "-") else None
            return None if masked is None else option + argument[len(option) : len(argument) - len(value)] + masked
    return None


def _value_of(option: str, argument: str, take: Take) -> str | None:
    """The argument masked as the value of the option before it; None when it is no secret of that option."""
    if not option or is_nothing(argument) or (argument.startswith("-") and _OPTION.fullmatch(argument)):
        return None
    if option in _HEADERS or option in _COOKIES:
        name, join, value = argument.partition(":" if option in _HEADERS else "=")
        if is_nothing(value) or (option in _HEADERS and names.strength(name) is None):
            return None
        if option in _COOKIES:
            told = join and (option != "-b" or looks_made_up(value) or names.strength(name) is not None)
            return take("option", argument) if told and not is_place(argument) else None
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
        placed = is_place if option in ("--key", "--auth", "--access") else is_file
        if option == "--key" and argument in _COLUMNS:
            return None
        return None if placed(argument) or (is_number(argument) and len(argument) < 4) else take("option", argument)
    if option in _MAYBE and ":" not in argument:
        return (
            take("option", argument)
            if re.match(r"\w+=|\S*\s", argument) is None
            and looks_made_up(argument.replace("/", ""))
            and "://" not in argument
            and ":" not in argument
            else None
        )
    if len(option) == 2:  # of a program that is not known: what is hardly anything else
        user, join, secret = argument.rpartition(":")
        if is_mixed(secret) and (not join or re.fullmatch(r"[\w.@-]+", user)):
            return f"{user}{join}{take('option', secret)}"
    strength = names.strength(option) if names.HINT.search(option) and option[0] == "-" else None
    if strength == "strong":
        return None if is_marker(argument) else take("option", argument)
    if strength == "weak" and (looks_made_up(argument, 5) or is_user_and_secret(argument)):
        return take("option", argument)
    return None


def _alone(argument: str, take: Take, text: Callable[[str], str]) -> str:
    # One argument may be a whole value with blanks in it: -Dpassword=two words
    name, join, value = argument.partition("=")
    if join and value and re.fullmatch(r"[\w./:@-]+", name):
        if name in _USERS:
            masked = _value_of(name, value, take)
            if masked is not None:
                return f"{name}={masked}"
        if names.HINT.search(name):
            strength = names.strength(name.removeprefix("-D").removeprefix("/"))
            if (
                (strength == "strong" and not names.is_harmless(name, value))
                or (strength == "weak" and looks_made_up(value, 5))
            ) and not is_nothing(value):
                return argument if is_place(value) and strength == "weak" else f"{name}={take('option', value)}"
        if names.holds_user(name) and is_key(value) and len(value) >= 24 and is_irregular(value):
            return f"{name}={take('option', value)}"
    placed = _PLACED.fullmatch(argument)
    if placed is not None:
        return f"{placed['before']}{take('option', placed['value'])}{placed['after']}"
    if argument.startswith("-p") and len(argument) > 4 and "=" not in argument:
        value = argument[2:]
        if not _NOT_ATTACHED.fullmatch(argument) and (
            looks_made_up(value, 4) or (value.isalpha() and not value.islower())
        ):
            return f"-p{take('option', value)}"
    header = re.fullmatch(r"(?P<name>-H[A-Za-z][\w-]*):\s*(?P<value>\S.*)", argument)
    if header is not None and names.strength(header["name"][2:]) == "strong":
        return f"{header['name']}: {take('option', header['value'])}"
    slash = re.fullmatch(r"(?P<name>/(?:p|pass|password|pwd|token|secret)):(?P<value>\S+)", argument, re.I)
    if slash is not None:
        return f"{slash['name']}:{take('option', slash['value'])}"
    user = re.fullmatch(r"(?P<name>-u)(?P<value>[\w.@-]+:[^\s/]\S*)", argument)
    if user is not None and not is_number(user["value"].partition(":")[2]):
        who, _, password = user["value"].partition(":")
        return f"-u{who}:{take('option', password)}"
    return text(argument)
