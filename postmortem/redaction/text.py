"""Secrets in running text: messages, strings out of memory, log lines, addresses, command lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from postmortem.model.queries.patterns import Lazy
from postmortem.redaction import names
from postmortem.redaction.gibberish import is_gibberish
from postmortem.redaction.values import (
    is_counted,
    is_key,
    is_keyword,
    is_nothing,
    is_number,
    is_place,
    is_word,
    looks_made_up,
    looks_random,
    names_person,
    secret_of_user,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Take = Callable[[str, str], str]
    """take(kind, value): counts and remembers a secret; gives the mask."""

START = r"(?:\b|(?<=\\[nrt]))"
"""Where a word begins: also behind a line end that is written as an escape, as debuggers write strings."""
_SCHEME = r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{1,30}:(?:[A-Za-z0-9+.-]{1,20}:){0,3}(?://|(?:\\{1,3}/){2}))"
# user:password@; the password may hold "@" or "/", but a port is none.
_USER = Lazy(
    _SCHEME + r"(?P<user>[^\s/?#:\"'<>]{0,256}):"
    r"(?P<password>[^\s/?#\"'<>]{1,512}|(?!\d{1,5}(?:[/?#]|$))[^\s\"'<>@]{1,512})@(?=[\w\[.$%{\s\"',/\u2026-]|$)"
)
# The same, cut within the password: at the end of the text, or where a debugger says that it shows no more.
_CUT_USER = Lazy(
    _SCHEME + r"(?P<user>[^\s/?#@:\"'<>]{0,256}):(?P<password>(?!\d{1,5}(?!\w))[^\s/?#@\"'<>{},\u2026]{1,512}?)"
    r"(?=(?P<cut>[\"']?(?:\.\.\.|\u2026))|[\"']?$|[\"'])"
)
_IMAGES = ("docker", "oci", "docker-daemon", "docker-archive", "containers-storage", "podman")
"""Schemes of names with a tag behind a colon."""
# A key in place of a user: https://KEY@host/1
_ONLY_USER = Lazy(_SCHEME + r"(?P<user>[^\s/?@:\"'<>]{8,256})(?P<at>:?@)(?=[\w\[])")
_QUERY = Lazy(
    r"(?P<start>[?&;#]|%26|%3F)(?P<name>[\w.$\[\]-]{1,64})(?P<join>=|%3D)"
    r"(?P<value>(?:[^\s&;#\"'<>|]|[;#](?=[^\s&;#\"'<>|])(?![\w.$\[\]-]{1,64}=)){1,4096})",
    re.I,
)
_IN_QUERY = frozenset(
    """
    sig signature key auth code session sid sess ticket assertion hmac hash otp credential state nonce samlresponse
    samlrequest sas h hdnts hdnea policy access_sig st
    """.split()
)
_SHORT_IN_QUERY = frozenset("code state nonce hash h st policy session sid ticket auth key".split())
_THIN = Lazy(
    r"(?P<before>\b(?:thin|oci8?|sqlplus(?:\s+-\w+)*|connect|conn)[:\s]\s*)(?P<user>[\w$#.]{1,64})/(?P<password>[^\s@/\"]{1,128})@",
    re.I,
)
_NO_SCHEME = Lazy(
    r"(?<![\w:/@.-])(?!(?:mailto|sips?|xmpp|acct|user|email|from|to|cc|by|contact|owner|author|urn)\b)(?P<user>[A-Za-z][\w.-]{0,63}):"
    r"(?!/|\d{1,5}@)(?P<password>[^\s:@/\"'<>()\[\]]{3,128})@(?P<host>(?:[\w-]{1,63}\.){0,8}[\w-]{1,63}(?=[:/\s,;)\]\"']|$)|(?=/[\w?]))",
    re.I,
)
# Go's: user:password@tcp(host:port)/database
_BEFORE_NETWORK = Lazy(
    r"(?P<user>[\w.-]{1,64}):(?P<password>[^\s/\"'<>()\[\]]{1,128})@(?P<host>tcp[46]?|unix|udp)(?=\()"
)

_HEADER = Lazy(
    r"(?:(?<![\w-])|(?<=\\[nrt]))(?P<name>(?:proxy-|x-)?authorization|(?:set-)?cookie2?|x-[\w-]{0,40}(?:key|token|auth|secret|signature|session|credential)[\w-]{0,20}"
    r"|api-?key|(?:private|job|deploy|auth|access|csrf|x)-token|ocp-apim-subscription-key|authentication)"
    r"(?P<join>\\{0,3}[\"']?\s{0,3}(?:[:=]|=>)\s{0,3}\\{0,3}(?P<quote>[\"'])?)(?P<value>[^\r\n\0]+)",
    re.I,
)
_HEADER_END = Lazy(r"\\[rn]|\\u000[ad]|[\r\n\0]", re.I)
_AUTH_SCHEME = Lazy(
    START
    + r"(?P<scheme>bearer|basic|digest|negotiate|ntlm|apikey|api-key|hawk|jwt)(?P<join>[ +:]|%20|:\s)(?P<value>[\w+/.~-]{8,}=*)",
    re.I,
)
_NO_WORD, _LONG_WORD = Lazy(r"[\d+/._~=-]"), 20
_AUTH_WORDS = Lazy(
    r"(?:is |was )?(?:required|none|null|failed?|denied|missing|invalid|true|false|ok|disabled|enabled|expired|error)\b.*",
    re.I,
)

# A cast to a pointer, as debuggers write it before the address.
_CAST = r"\([\w :<>]{1,64}[*&]\) ?"
# What a debugger writes before the characters that a pointer leads to.
_POINTER = r"0x[0-9a-fA-F]{1,16} (?:<[^<>]{0,200}> )?(?=[\"'])"
# What stands around the characters of a member: Some("…"), {[contained value] = "…"}, {get() = 0x… "…"}, Type {inner: "…"}.
_TYPE = r"[A-Za-z_][\w:<>*&]{0,80}(?:,? [\w:<>*&]{1,40}){0,9}"
_COUNTS = (
    r"(?:(?:len|length|size|cap|capacity|count|refs|n|valid|tag|is_some|has_value|engaged|_M_engaged|_M_string_length)"
    r"\s?[=:]\s?\w{1,20},\s?){0,3}"
)
_INNER = (
    r"(?:\[[\w ]{1,32}\]|\w{1,16}\(\)|_M_\w{1,32}|__\w{1,32}|\d|(?:contained[_ ]?)?value_?|val|inner|data|ptr|pointer"
    r"|str|string|s|p|buf|buffer|raw|plain|bytes|chars|vec|array|some|ok|just)"
)
_WRAPPED = (
    rf"(?:(?:(?:{_TYPE} ?(?:\([\w ,=]{{0,60}}\) ?)?(?:= ?)?)?\{{\s?{_COUNTS}(?:{_INNER}\s?[=:]\s?)?"
    rf"|{_TYPE} (?:\([\w ,=]{{0,60}}\) ?)?= (?=0x|\")"
    r"|[A-Za-z_][\w:]{0,64}(?:<[\w:<>, ]{0,80}>)?\(\s{0,2}){1,4})"
)
# Without quotes: up to a blank, a quote or a line end that is written as an escape. A delimiter belongs to it where neither
# a blank nor a further name follows.
_BARE = (
    r"(?:[^\s,;&\"'<>|`\[{\\]|\\(?![nrt]))(?:[^\s,;&\"'<>|`\\]|\\(?![nrt])"
    r"|[,;&](?=[^\s,;&\"'<>|`)\]}])(?!-{0,2}[A-Za-z_$][\w.$ -]{0,64}\s{0,2}[=:])(?!#?\w{1,8};))*"
)
_CHARACTERS = r"\"(?:[^\"\\]|\\.)*(?:\"|\\?$)(?!\s{0,3}[:=])"
_VALUE = (
    rf"{_WRAPPED}(?:(?:{_POINTER})?{_CHARACTERS}(?:(?:\.\.\.)?, (?:{_POINTER})?{_CHARACTERS})*"
    r"|\\{1,3}\"[^\"\\]*(?:\\{1,3}\"|$)(?!\s{0,3}[:=]))\)?|"
    r"\\{1,3}\"[^\"\\]*(?:\\{0,3}\"|$)|\\{1,3}'[^'\\]*(?:\\{1,3}'|$)"
    r"|(?:[bBuUrRfFnNL@]|string\(\d{1,6}\) )?\"(?:[^\"\\]|\\.)*(?:\"|\\?$)|[bBuUrRfFnNL@]?'(?:[^'\\]|\\.|''(?=[^\s,;&'}\])]))*(?:'|\\?$)|`[^`]*(?:`|$)"
    r"|[A-Za-z_]\w{0,32}\(\s{0,2}[\"'][^\"']*(?:[\"']\s{0,2}\)?|$)"
    r"|\[[^\]]*(?:\]|$)|" + _BARE
)
# A name with a value of its own, which is not the value of the word before it: "error in YAML: password: 'x'".
_OWN_PAIR = (
    r"(?![\w.$-]{0,40}?(?:pass|pwd|pw\b|secret|tok|cred|key|psk|auth|pin\b|cookie|sess|jwt|otp|salt)[\w.$-]{0,40}"
    r"\\{0,3}[\"'`]?\s{0,4}(?:=>|:=|={1,3}|:(?!:))(?:\s|\\{0,3}[\"'{\[]))"
)
# A name begins where no letter is before it, so that each run of letters is gone through once.
_PAIR = Lazy(
    r"(?<![\w.$-])(?P<dashes>-*)(?P<name>[\w$][\w.$-]*(?:(?<=[a-z]) (?:key|token|secret|phrase|password|code))?)"
    r"(?P<join>\]?(?:\\{0,3}[\"'`]|%22)?\]?(?:\s{0,4}(?:=>|:=|={1,3}|->|:(?!:))\s{0,4}|(?:%3D|%3A)(?:%22)?))"
    rf"(?P<value>{_OWN_PAIR}(?:{_CAST}0x[0-9a-fA-F]{{1,16}}(?![0-9a-fA-F]| [<\"'])|(?:{_CAST})?(?:{_POINTER})?(?:{_VALUE})))",
    re.I,
)
# <password>…</password> and the like.
_ELEMENT = Lazy(r"<(?P<name>[A-Za-z][\w:.-]{1,64})(?P<attributes>[^<>]{0,200})>(?P<value>[^<>]{1,4096})(?=</|$)")
# name="password" value="x", {"key": "password", "value": "x"}, {first = "password", second = "x"}
_NAMED = Lazy(
    rf"(?P<before>\b(?:name|key|id|variable|first|k|n|nm|field|label|property|param|header)\\{{0,3}}[\"']?\s{{0,3}}[=:]\s{{0,3}}(?:{_POINTER})?\\{{0,3}}[\"']?(?P<name>[\w.-]{{1,128}})(?:\\0{{1,3}}){{0,64}}\\{{0,3}}[\"']?[\s,;]{{1,6}}\\{{0,3}}[\"']?"
    rf"(?:value|val|content|second|v|data)\\{{0,3}}[\"']?\s{{0,3}}[=:]\s{{0,3}}(?:{_POINTER})?\\{{0,3}}"
    r"(?P<quote>[\"'])?)(?P<value>(?(quote)[^\"'\\]+|[^\s,;)\]}]+))",
    re.I,
)
# {"--password", "x"}, {"PGPASSWORD", 0x55… "x"}: an array or a pair as a debugger prints it. A row of a table of pairs has
# braces around it, with those of another row, or of the table, beside them.
_LISTED = Lazy(
    r"(?P<before>(?P<row>[{(])?(?:0x[0-9a-fA-F]{1,16} (?:<[^<>]{0,200}> )?)?"
    rf"(?<!\\)\"(?P<dashes>-{{0,2}})(?P<name>[\w.-]{{2,128}})(?:\\0{{1,3}}){{0,64}}\"(?:, '\\0{{1,3}}' <repeats \d+ times>)?,\s{{0,2}}(?:{_POINTER})?\")"
    r"(?P<value>[^\"\\]{2,512})(?=[\"\\])"
)
_OPTION = Lazy(r"--?[A-Za-z][\w-]*")
_ROW_ENDS = Lazy(r"(?:\\0{1,3})*\"(?:\.\.\.)?(?:, '\\0{1,3}' <repeats \d+ times>)?(?:\}(?:, \{|\}|, \.\.\.|\.\.\.)|\))")
# Names of columns, which stand beside each other.
_BESIDE = frozenset("user username login name email host port database db url path type id role roles".split())
_CALL = Lazy(
    r"(?P<before>\b\w{0,40}(?:password|passwd|secret|credentials?|apikey|(?:auth|access|api|refresh|bearer)_?token)\s?[\[({]\s?(?:value|\w{0,20}(?:token|secret|key|password))?\s?[=:]?\s?\\{0,3}[\"']?)(?P<value>[^\s\"'();\[\]{}=:\\]{4,512})(?=\\{0,3}[\"']?[)\]},]|$)",
    re.I,
)
_INSERT = Lazy(r"\((?P<columns>[^()]{1,2000})\)\s{0,4}values\s{0,4}\((?P<values>[^()]{1,8000})(?:\)|$)", re.I)
_PASS = Lazy(
    r"(?P<before>(?:^|[\r\n>:\]\"']\s{0,2}|(?<=\\[nr]))(?:PASS|AUTH(?: (?:PLAIN|LOGIN|CRAM-MD5|XOAUTH2))?)[ ]|\bAUTH (?:PLAIN|LOGIN|CRAM-MD5|XOAUTH2) )(?P<value>(?!PLAIN|LOGIN|CRAM|XOAUTH)(?:[^\s\"'\\]|\\(?![nrt])){3,512})"
)
_LINE = r"(?:\r\n|\\r\\n)"
# Redis' AUTH, with a user before the password or without.
_AUTH_IN_BULK = Lazy(
    rf"(?P<before>AUTH(?:{_LINE}\$\d{{1,4}}{_LINE}[^\s\\]{{1,64}})?{_LINE}\$\d{{1,4}}{_LINE})(?P<value>[^\s\\\"]{{1,512}})"
)
_SENTENCE = Lazy(
    START
    + r"(?P<name>pass(?:word|wd|phrase|code)|pwd|secret|token|(?:api|access|secret|private|auth)[ _-]?(?:key|token)|credentials?|kennwort|passwort)"
    r"(?P<join>s?(?: (?:is|was|are|value|string|of|for user \S{1,64}|for \S{1,64}|set to|changed to))?[ ]{1,2})"
    r"(?P<value>\\{1,3}(?P<quote>[\"'])[^\"'\\]{1,512}\\{1,3}(?P=quote)|\"[^\"]{1,512}\"|'[^']{1,512}'|`[^`]{1,512}`|(?:[^\s,;\"'`]|[,;](?=[^\s\"'`])){6,512})",
    re.I,
)
_OF_WORDS = Lazy(r"[a-z]{2,16}(?:[-.][a-z]{2,16}){1,4}")
"""What things are called: Secret 'db-creds' not found."""
_IDENTIFIED = Lazy(
    r"(?P<before>\bidentified\s+(?:with\s+\S+\s+)?(?:by|as)\s+(?:password\s+)?|\bpassword\s*\(\s*)"
    r"(?P<value>N?'[^']{1,512}'|\\{0,3}\"[^\"\\]{1,512}\\{0,3}\""
    r"|(?<=[bB][yY] )(?!(?:values?|password|external(?:ly)?|global(?:ly)?|random|the|a|an|its?|this|that|his|her|their|our|my|your)\b)"
    r"[^\s;,\"'()\\]{3,512})",
    re.I,
)
_PGPASS = Lazy(
    r"(?P<before>(?:\b(?:[\w-]+(?:\.[\w-]+)+|localhost|\*):(?:\d{2,5}|\*)|\b[\w-]{1,63}:5432)"
    r":[\w*-]{1,64}:[\w*.-]{1,64}:)(?P<value>[^\s:]{3,256})"
)
_SHOUTED = Lazy(
    r"(?P<before>(?:\b|(?<=\\[nrt]))[A-Z][A-Z0-9_]*_(?:TOKEN|PASSWORD|PASSWD|PASS|SECRET|KEY|PWD)[ \t]{1,3})(?P<value>[^\s\"'=]{6,512})"
)
_NUMBER = Lazy(
    r"(?P<before>\b(?:pass ?code|otp(?: code)?|one[- ]time (?:password|code|pin)|(?:verification|security|authentication|auth|2fa|mfa|login) code|pin code)"
    r"\W{0,3}(?:is |was |= ?|: ?)?)(?P<value>\d{4,8})\b",
    re.I,
)
# credentials: user / password
_BEHIND_USER = Lazy(
    r"(?P<before>\b(?:credentials?|creds|login)\b\s?[:=]?\s?[\"']?[\w.@-]{1,64}[\"']?\s/\s[\"']?)(?P<value>(?>[^\s\"',;:=/]{5,128}))(?![:=/])",
    re.I,
)
_NETRC = Lazy(r"(?P<before>(?:\b|(?<=\\[nrt]))machine\s+\S+\s+login\s+\S+\s+password\s+)(?P<value>\S+)", re.I)
_OPENSSL = Lazy(r"(?P<before>(?<!\S)pass:)(?P<value>(?![uif](?:8|16|32|64|128|size)[),])\S{3,})")
# Lines of the files of servers and switches.
_SETTING = Lazy(r"(?P<before>(?:\b|(?<=\\[nrt]))(?:requirepass|masterauth)[ \t]{1,4})(?P<value>[^\s\\]{3,512})", re.I)
_ENABLE = Lazy(
    r"(?P<before>\benable[ \t]{1,4}(?:secret|password)[ \t]{1,4}(?:level \d{1,2} )?\d[ \t]{1,4})(?P<value>[^\s\\\"']{3,512})",
    re.I,
)
# A part of a form that is sent with its name in a header.
_PART = Lazy(
    r"(?P<before>\bname=\\{0,3}\"\w{0,40}(?:password|passwd|passphrase|pwd|secret|token|api_?key)\\{0,3}\"(?:\r?\n|\\r\\n|\\n){2})(?P<value>[^\s\\\"]{1,512})",
    re.I,
)
_OF_BASIC = Lazy(
    r"(?P<before>\b\w{0,20}basic_?auth\(\s{0,2}[\"']?[\w.@-]{1,64}[\"']?,\s{0,2})(?P<value>[\"'][^\"']{1,512}[\"']|[^\s\"'(),]{3,512})(?=\s{0,2}\))",
    re.I,
)
_TRAILING = {")": "(", "]": "[", "}": "{"}

SIGNS = ("://", ":\\/", "@", "?", "&", ";", "#", "%26", "%3")
"""What any of the patterns for addresses needs."""
# What any of the patterns for running text needs, in lower case; most texts have none of it.
HINTS = (
    "pass", "pwd", "tok:", "tok=", "pw=", "pw:", "_pw", "secret", "token", "cred", "key", "auth", "cookie", "sess", "sid=", "bearer", "jwt",
    "otp", "mnemonic", "webhook", "wort", "senha", "contrasena", "haslo", "basic", "sig=", "signature", "pin=", "pin:", "pin ", "pin\"", "pin\\", "pin'", "cvv", "cvc", "ssn", "pswd", "lock", "pat=",
    "seed", "salt", "hmac", "sas=", "csrf", "xsrf", "nonce", "assertion", "phrase", "digest", "negotiate", "ntlm", "hawk",
    "identified", "machine ", "localhost:", "*:", ":5432:", "psk", " code", "auth plain", " -u", " -p", " -a ", " -w ", " -k ", " -h ", " -b ", "recovery words",
)  # fmt: skip


def mask_addresses(text: str, take: Take) -> str:
    """Credentials and signatures in addresses."""
    if "://" in text or ":\\" in text:

        def user(match: re.Match[str]) -> str:
            if is_nothing(match["password"]):
                return match.group()
            at = "@" if match.end("password") < len(match.string) and match.string[match.end("password")] == "@" else ""
            return f"{match['scheme']}{match['user']}:{take('url', match['password'])}{at}"

        def cut(match: re.Match[str]) -> str:
            value = match["password"]
            if match["scheme"].lower().startswith(_IMAGES):
                return match.group()
            if match["cut"] is None and not looks_made_up(value, 3):
                ends = match.string[match.end() :].strip("\"'") == ""
                if not ends or len(value) < 3 or not match["user"]:
                    return match.group()
            return user(match)

        def only(match: re.Match[str]) -> str:
            value = match["user"]
            if not is_key(value) and not is_gibberish(value):
                return match.group()
            return f"{match['scheme']}{take('url', value)}{match['at']}"

        text = _USER.sub(user, text)
        text = _CUT_USER.sub(cut, text)
        text = _ONLY_USER.sub(only, text)
    if "=" in text or "%3d" in text.lower():

        def query(match: re.Match[str]) -> str:
            name, value = match["name"], match["value"]
            short = name.lower()
            known = short in _IN_QUERY or names.strength(name) is not None
            if not known or is_nothing(value):
                return match.group()
            if (short in _SHORT_IN_QUERY or names.strength(name) == "weak") and not looks_made_up(value, 5):
                return match.group()
            return f"{match['start']}{name}{match['join']}{take('url', value)}"

        text = _QUERY.sub(query, text)
    if "@" in text:
        text = _THIN.sub(lambda match: f"{match['before']}{match['user']}/{take('url', match['password'])}@", text)

        def bare(match: re.Match[str]) -> str:
            if is_nothing(match["password"]) or is_place(match["password"]):
                return match.group()
            return f"{match['user']}:{take('url', match['password'])}@{match['host']}"

        text = _NO_SCHEME.sub(bare, text)
        if "(" in text:
            text = _BEFORE_NETWORK.sub(bare, text)
    return text


def mask_headers(text: str, take: Take) -> str:
    """HTTP's headers, to the end of the line or of the quotes that they stand in; schemes without their header."""

    def header(match: re.Match[str]) -> str:
        before = match.string[max(0, match.start() - 1) : match.start()]
        quote = match["quote"] or (before if before in ("'", '"', "`") else "")
        value, rest = match["value"], ""
        end = _HEADER_END.search(value)
        # In a quoted text a quote with a backslash before it belongs to the value: Digest username=\"bob\", ….
        inner = not match["quote"] and match.string[max(0, match.start() - 2) : match.start() - 1] != "\\"
        closing = re.search(rf"(?<!\\){quote}" if inner else quote, value) if quote else None
        cuts = [found.start() for found in (end, closing) if found is not None]
        if cuts:
            value, rest = value[: min(cuts)], value[min(cuts) :]
        # An escaped quote's backslash is no part of the value.
        bare = value.rstrip("\\")
        rest = value[len(bare) :] + rest
        if is_nothing(bare) or _AUTH_WORDS.fullmatch(bare.strip()) or _is_pointer(bare.strip()):
            return match.group()
        if "cookie" in match["name"].lower() and "=" not in bare:
            return match.group()  # no header, which has pairs: AddressSanitizer's "Array cookie: ac"
        for piece in re.split(r"[\s;,=]+", bare):
            if looks_random(piece):
                take("", piece)
        return f"{match['name']}{match['join']}{take('header', bare)}{_again(rest, header, _HEADER)}"

    lower = text.lower()
    if any(
        mark in lower
        for mark in ("authoriz", "authentic", "cookie", "x-", "-token", "api-key", "apikey", "subscription")
    ):
        text = _HEADER.sub(header, text)
    if not any(mark in lower for mark in ("bearer", "basic", "digest", "negotiate", "ntlm", "api", "hawk", "jwt")):
        return text

    def scheme(match: re.Match[str]) -> str:
        value = match["value"]
        if not _NO_WORD.search(value) and len(value) < _LONG_WORD and not is_gibberish(value):
            return match.group()
        return f"{match['scheme']}{match['join']}{take('header', value)}"

    return _AUTH_SCHEME.sub(scheme, text)


def _again(rest: str, change: Callable[[re.Match[str]], str], pattern: Lazy) -> str:
    """What was taken for the value of a header but is behind it."""
    return pattern.sub(change, rest) if rest else rest


_DEEPEST = 3
_LONGEST_NAME = 128
"""Characters of a name that are looked at, from its end."""


_VALUES = ("val", "content", "second", "data", " v", ",v", '"v"', "'v'")


def mask_pairs(text: str, take: Take) -> str:
    """NAME=value, "name": "value", <name>value</name>. Long: the forms look into each other's values."""

    depth = 0

    def within(value: str) -> str:
        """The value with the pairs in it masked; a pair in a pair in a pair is looked into so far and no further."""
        nonlocal depth
        if depth >= _DEEPEST:
            return value
        depth += 1
        made = _PAIR.sub(pair, value)
        depth -= 1
        return made

    def pair(match: re.Match[str]) -> str:
        head, value = match["dashes"] + match["name"], match["value"]
        # -Dname=value: the D is part of what the pattern took for the name.
        name = match["name"].removeprefix("D") if match["dashes"] == "-" else match["name"]
        name = name[-_LONGEST_NAME:]
        strength = names.strength(name, exact=True) if names.HINT.search(name) else None
        if match.string[match.start() - 1 : match.start()] == "/" and ": " in match["join"]:
            strength = None  # the end of a path, and what is said of it
        if strength is None and name[:1] in "nrt" and match.string[match.start() - 1 : match.start()] == "\\":
            # The letter belongs to an escape: \\nsecret=x
            strength = names.strength(name[1:], exact=True) if names.HINT.search(name) else None
        if strength is None and names.USERS_HINT.search(name) and names.holds_user(name):
            opening, bare, closing = _unquoted(value)
            secret = secret_of_user(bare, plain=names.is_login(name))
            if secret:
                before, _, after = bare.rpartition(secret) if "@" not in bare else bare.partition(secret)
                return head + match["join"] + opening + before + take("name", secret) + after + closing
        if strength is None:
            # The value may be a pair itself: Exception: password=x
            return head + match["join"] + _nested(value)
        opening, bare, closing = _unquoted(value)
        quoted = bool(opening)
        if (
            not quoted
            and names.HINT.search(bare)
            and ("=" in bare or ":" in bare)
            and not looks_random(bare.partition("=")[0])
        ):
            inner = within(bare)
            if inner != bare:
                return head + match["join"] + inner + closing
        if is_nothing(bare) or not _believable(name, strength, bare, match["join"], quoted):
            return match.group()
        if '", ' in bare:
            for held in _BETWEEN.split(bare):
                take("", held)
        # The words of parsers' tokens stand in many texts.
        held = "" if names.is_of_tokens(name) and is_word(bare) else bare
        return head + match["join"] + opening + take("name", held) + closing

    def _nested(value: str) -> str:
        return within(value) if names.HINT.search(value) or names.USERS_HINT.search(value) else value

    def element(match: re.Match[str]) -> str:
        name, value = match["name"].rpartition(":")[2], match["value"]
        # std::vector<Token> tokens = …
        of_type = match.string[match.start() - 1 : match.start()].isalnum() and match.end() == len(match.string)
        if of_type or names.strength(name, exact=True) != "strong" or is_nothing(value):
            return match.group()
        return f"<{match['name']}{match['attributes']}>{take('name', value)}"

    if " " in text and any(mark in text.lower() for mark in ("phrase", "mnemonic", "words")):
        text = _PHRASE.sub(lambda match: match["before"] + take("name", match["value"]), text)
    if "<" in text:
        text = _ELEMENT.sub(element, text)
    lower = text.lower()
    if any(mark in lower for mark in _VALUES):

        def named(match: re.Match[str]) -> str:
            value = match["value"]
            strength = names.strength(match["name"])
            secret = secret_of_user(value, plain=names.is_login(match["name"])) if _may_hold_user(match["name"]) else ""
            if secret:
                return match["before"] + value.replace(secret, take("name", secret))
            short = match["name"].lower().endswith("pin") and value.isdigit() and 4 <= len(value) <= 8
            if strength is None or is_nothing(value) or (strength == "weak" and not looks_random(value) and not short):
                return match.group()
            if names.is_of_tokens(match["name"]) and is_keyword(value):
                return match.group()
            return match["before"] + take("name", value)

        text = _NAMED.sub(named, text)
    if '",' in text:
        text = _listed(text, take)
    if "values" in lower:
        text = _INSERT.sub(lambda match: _inserted(match, take), text)
    return _PAIR.sub(pair, text) if any(mark in text for mark in ("=", ":", "%3", "->")) else text


def _may_hold_user(name: str) -> bool:
    return names.holds_user(name) or name.lower().endswith(("auth", "basic"))


def _listed(text: str, take: Take) -> str:
    """The elements behind names of secrets. What follows no such name may be such a name itself: prog, --secret, value."""
    made, done, at = [], 0, 0
    while (match := _LISTED.search(text, at)) is not None:
        value, strength = match["value"], names.strength(match["name"])
        row = match["row"] is not None and _ROW_ENDS.match(text, match.end()) is not None
        known = strength == "strong" and (bool(match["dashes"]) or row or looks_made_up(value, 4))
        if (
            value.lower() in _BESIDE
            or is_nothing(value)
            or _OPTION.fullmatch(value)
            or not (known or (strength == "weak" and looks_random(value)))
        ):
            at = match.end("before") - 1
            continue
        made.append(text[done : match.start("value")] + take("name", value))
        done = at = match.end()
    return "".join((*made, text[done:]))


_PHRASE = Lazy(
    r"(?P<before>\b(?:pass ?phrase|mnemonic|(?:seed|recovery|secret) (?:phrase|words))\w*[\"']?\s{0,2}(?:=|:|is)\s{0,2}[\"']?)(?P<value>[a-z]+(?: [a-z]+){2,24})",
    re.I,
)


def _inserted(match: re.Match[str], take: Take) -> str:
    """SQL's INSERT: the values of columns with the names of secrets."""
    columns = [column.strip('`"[] \n') for column in match["columns"].split(",")]
    values = re.split(r",(?=(?:[^']*'[^']*')*[^']*$)", match["values"])
    if len(columns) < len(values):
        return match.group()
    made = []
    for column, value in zip(columns, values, strict=False):
        bare = value.strip().strip("'\"")
        secret = names.strength(column) == "strong" and not is_nothing(bare)
        made.append(value.replace(bare, take("name", bare)) if secret else value)
    return match.group().replace(match["values"], ",".join(made))


def mask_sentences(text: str, take: Take) -> str:
    """The password is X; identified by 'X'; lines of .pgpass and .netrc. Long: a function for each kind of match."""

    def sentence(match: re.Match[str]) -> str:
        opening, bare, closing = _unquoted(match["value"])
        inner = re.fullmatch(r"[(<\[{](.*?)[)>\]}]*", bare)
        if inner is not None and not opening:
            opening, closing, bare = bare[:1], bare[inner.end(1) :] + closing, inner[1]
        if is_nothing(bare) or is_place(bare) or "=" in bare.rstrip("=") or bare.startswith(("(", "0x", "-")):
            return match.group()
        quoted = opening and len(bare) >= 8 and " " not in bare and "token" not in match["name"].lower()
        if not looks_made_up(bare, 5 if opening else 6) and (not quoted or _OF_WORDS.fullmatch(bare) is not None):
            return match.group()
        return match["name"] + match["join"] + opening + take("name", bare) + closing

    def call(match: re.Match[str]) -> str:
        value = match["value"]
        return (
            match["before"] + take("name", value) if looks_made_up(value) and not is_nothing(value) else match.group()
        )

    def told(match: re.Match[str]) -> str:
        opening, bare, closing = _unquoted(match["value"])
        return match.group() if is_nothing(bare) else match["before"] + opening + take("name", bare) + closing

    lower = text.lower()
    if any(mark in lower for mark in ("pass", "pwd", "secret", "token", "key", "credential", "kennwort")):
        text = _SENTENCE.sub(sentence, text)
        text = _CALL.sub(call, text)
        text = _SHOUTED.sub(call, text)
    if "code" in lower or "otp" in lower or "one" in lower:
        text = _NUMBER.sub(told, text)
    if "PASS " in text or "AUTH " in text:
        text = _PASS.sub(told, text)
    if "AUTH" in text and "$" in text:
        text = _AUTH_IN_BULK.sub(told, text)
    for mark, pattern in (
        ("identified", _IDENTIFIED),
        ("password", _IDENTIFIED),
        ("machine", _NETRC),
        ("pass:", _OPENSSL),
        ("requirepass", _SETTING),
        ("masterauth", _SETTING),
        ("enable", _ENABLE),
        ("name=", _PART),
    ):
        if mark in lower:
            text = pattern.sub(told, text)
    if " / " in text:

        def behind(match: re.Match[str]) -> str:
            # "login page / settings"
            spoken = match["before"].lower().startswith("login") and not looks_made_up(match["value"], 5)
            return match.group() if spoken else told(match)

        text = _BEHIND_USER.sub(behind, text)
    if "basic" in lower and "(" in text:

        def basic(match: re.Match[str]) -> str:
            # A variable's name, as in a declaration, is no password.
            return match.group() if names.strength(match["value"]) == "strong" else told(match)

        text = _OF_BASIC.sub(basic, text)
    return _PGPASS.sub(told, text) if text.count(":") >= 4 else text


_MEMBER = Lazy(
    rf"(?P<before>(?:(?P<name>[A-Za-z_][\w.]{{0,64}})\s?[=:]\s?)?(?:{_CAST})?(?:{_POINTER})?\")(?P<value>(?:[^\"\\]|\\.){{1,4096}})(?P<after>\"|$)"
)


def mask_members(text: str, take: Take) -> str:
    """The characters in a structure that is a secret by its type; the names of users and hosts stay."""

    def member(match: re.Match[str]) -> str:
        if (match["name"] or "").rpartition(".")[2].lower() in _BESIDE or is_nothing(match["value"]):
            return match.group()
        return match["before"] + take("name", match["value"]) + match["after"]

    return _MEMBER.sub(member, text)


_IN_PATH = Lazy(r"(?P<before>(?:^|[/,;?&_-]))(?P<name>[A-Za-z_-]{2,64})=(?P<value>[\w+~%-]{6,512})")


def mask_path(text: str, take: Take) -> str:
    """NAME=value in a path of a file."""
    if "=" not in text or "/" not in text:
        return text

    def part(match: re.Match[str]) -> str:
        if names.strength(match["name"], exact=True) != "strong" or not looks_random(match["value"]):
            return match.group()
        return f"{match['before']}{match['name']}={take('name', match['value'])}"

    return _IN_PATH.sub(part, text)


_CUT = 15
"""Characters of a thread's name, as the kernel keeps it (TASK_COMM_LEN less the NUL)."""
_PREFIXED = Lazy(
    r"(?<![A-Za-z0-9])(?:sk[-_]|[rp]k_|gh[pousr]_|github_pat_|gl[a-z]{2,5}-|xox[a-z]-|xapp-|A[KS]IA|AIza|ya29\.|hv[sbr]\.|npm_|pypi-|dckr_|eyJ|hf_|gsk_"
    r"|sq0|shp[a-z]{2}_|dop_|dapi|tskey-|whsec_|SG\.|glsa_|lin_|nvapi-)(?P<rest>[\w.+/=-]{3,})$"
)
_AFTER_WORD = Lazy(
    r"(?P<before>(?:^|[^A-Za-z0-9])(?:key|tok(?:en)?|secret|pass(?:wd|word)?|pwd|pw|auth|cred|sid|sess(?:ion)?|bearer|basic|jwt|otp|api|sig|pin)(?:[ :=/#@.>-]|->){1,2})"
    r"(?P<value>\S{4,})$",
    re.I,
)


def mask_name(text: str, take: Take) -> str:
    """A thread's name: so short that a token in it is a beginning, and the word before it is all there is to tell it."""

    def prefixed(match: re.Match[str]) -> str:
        told = any(map(str.isdigit, match["rest"])) or any(map(str.isupper, match["rest"]))
        return take("token", match.group()) if told and len(text) <= _CUT else match.group()

    def after(match: re.Match[str]) -> str:
        value = match["value"]
        return (
            match["before"] + take("name", value) if looks_random(value, 4) and not is_nothing(value) else match.group()
        )

    return _AFTER_WORD.sub(after, _PREFIXED.sub(prefixed, text))


_BETWEEN = re.compile(r"\"(?:\.\.\.)?, (?:0x[0-9a-fA-F]{1,16} )?(?:<[^<>]{0,200}> )?\"")
_OPENING = Lazy(
    rf"(?:{_CAST})?(?:{_WRAPPED})?(?:{_POINTER})?(?:[bufrnl@]|string\(\d{{1,6}}\) )?\\{{0,3}}[\"'`]|\[[\"']?", re.I
)


def _unquoted(value: str) -> tuple[str, str, str]:
    """The value without the quotes or brackets around it, and those."""
    opening = _OPENING.match(value)
    if opening is not None:
        start = opening.end()
        listed = opening.group().startswith("[")
        closing = re.search(r"[\"']?\]$" if listed else r"\\{0,3}[\"'`]\s{0,2}\)?$", value[start:])
        end = start + closing.start() if closing is not None else len(value)
        return value[:start], value[start:end], value[end:]
    end = len(value.rstrip("\\"))  # of the quote behind it, which is escaped
    while end and value[end - 1] in _TRAILING and _TRAILING[value[end - 1]] not in value[:end]:
        end -= 1
    if end and value[end - 1] == ".":  # of a sentence
        end -= 1
    return "", value[:end], value[end:]


def _is_pointer(value: str) -> bool:
    return re.fullmatch(rf"(?:{_CAST})?0x[0-9a-fA-F]{{1,16}}", value) is not None


# password: &str, pass:u32)
_DECLARED = Lazy(r"[&*]{0,2}(?:[uif](?:8|16|32|64|128|size)|str|[Ss]tring|char|bool|bytes)(?:$|[)\]>?])")


def _believable(name: str, strength: names.Strength, value: str, join: str, quoted: bool) -> bool:
    """Whether this value may be the secret that its name promises, rather than a word about one."""
    if strength == "weak":
        low = name.lower()
        if names_person(name, value):
            return True
        if low.endswith("pin") and value.isdigit() and 4 <= len(value) <= 8:
            return True
        if low.endswith(("auth", "basic")) and re.fullmatch(r"[\w.@-]+:[^\s/:][^\s:]*", value) is not None:
            return True
        return any(looks_random(piece) and not is_counted(piece) for piece in re.split(r"[\s,\"']+", value))
    if not quoted and ":" in join and (_DECLARED.match(value) or (":=" in join and is_place(value))):
        return False
    if names.is_harmless(name, value):
        return False
    last = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())[-1]
    if last in ("token", "tokens", "cookie", "cookies", "credential", "credentials", "secret", "secrets"):
        # Parsers, handles and managers speak of these, too.
        if is_number(value) and len(value) < 6:
            return False
        if _is_pointer(value) or is_place(value):
            return False
        if ":" in join and not quoted and "%" not in join and not looks_made_up(value, 4) and len(value) < 12:
            return False
    if name in ("PWD", "OLDPWD") and value.startswith("/"):
        return False
    if last == "pass" and is_number(value) and len(value) < 4:
        return False
    if is_place(value) and value.startswith(("/", "file:", "~", "./", "../")):
        return False
    # "password: must not be empty", "Password: " at a prompt: a word that is no password.
    if ":" in join and not quoted and value.lower() in _SPOKEN:
        return False
    return not value.startswith(("%", "${")) or len(value) > 8 or bool(unquote(value) != value)


_SPOKEN = frozenset(
    "expected got must is was not cannot can could should the a an for from with too wrong incorrect bad authentication mismatch no and or it "
    "does has be to at in of on this that please enter given provided supplied rejected accepted".split()
)
