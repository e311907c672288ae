"""Secrets that no name and sign of equality announces: lines of configuration files, of protocols and prompts, calls, markup.

A row of the table tells in what text to look, and where in it the secret stands. Both of a text's forms count: with its
line ends, and with them as escapes (`\\n`, `\\"`), as debuggers and JSON write them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries.patterns import Lazy
from postmortem.redaction import names
from postmortem.redaction.text import START
from postmortem.redaction.values import is_nothing, is_place, looks_made_up, looks_random

if TYPE_CHECKING:
    from postmortem.redaction.text import Take

_Q = r"\\{0,3}[\"']"
"""A quote, escaped perhaps."""
_LINE = r"(?:^|[\r\n]|\\[rn])[ \t]*"
"""Where a line begins."""
_END = r"(?=\s*(?:$|[\r\n]|\\[rn]|\"))"
"""Where a line ends."""
_WORD = r"(?:[^\s\"'\\]|\\(?![nrt\"']))"
"""A character of a value without quotes."""
_TALK = (
    r"(?!(?:is|was|are|be|in|on|at|to|for|from|of|or|and|not|no|the|an?|has|had|have|must|can(?:not|'t)?|could|does|did"
    r"|will|would|should|may|than|too|with|without|by|as|if|when|field|file|required|missing|invalid|incorrect|wrong"
    r"|expired|changed?|encod\w*|encrypt\w*|generat\w*|reset|check|prompt|auth\w*|login|hash\w*|manager|policy|store|option|length|mismatch|string"
    r"|value|name|entry|type|given|provided|needed|failed|failure|error|empty|set|unset|none|null|ok)\b)"
)
"""A secret does not begin with a word with which one goes on to talk of it."""


class Row(NamedTuple):
    """hints: one of them, in lower case, is in every such text. pattern: has the groups `before` and `value`.

    least: characters from which on the value must look made up; 0 if its place says enough. random: as tokens do.
    """

    hints: tuple[str, ...]
    pattern: Lazy
    least: int = 0
    random: bool = False


def _row(hints: str, pattern: str, flags: int, least: int = 0, random: bool = False) -> Row:
    begun = pattern.replace(r"(?P<before>\b", rf"(?P<before>{START}", 1)
    return Row(tuple(hints.split("|")), Lazy(begun, flags), least, random)


_I, _CASE = re.IGNORECASE, 0

ROWS = (
    # Configuration of switches: `password 0 x`, `secret 5 x`, `key 7 x`, `snmp-server community x RO`.
    _row("password |secret |key |key-string ", rf"(?P<before>\b(?:password|secret|key(?:-string)?)[ \t]+\d[ \t]+)(?P<value>(?!\d|(?:char\w*|digit|letter|byte|bit|time|word|attempt|tr(?:y|ies)|day|hour|minute|second|of|or|and|more|in)s?\b){_WORD}{{3,256}})", _I),
    _row("community", rf"(?P<before>\bcommunity[ \t]+)(?P<value>(?!(?:string|name|edition|list|public|version)\b){_WORD}{{3,128}})(?=[ \t]+(?:RO|RW)\b|{_END[3:-1]})", _I),
    _row("isakmp key|-server key|pre-shared-key", rf"(?P<before>\b(?:isakmp key|(?:tacacs|radius)-server key|pre-shared-key)[ \t]+)(?P<value>{_WORD}{{3,256}})", _I),
    _row("enable ", rf"(?P<before>{_LINE}enable[ \t]+(?:password|secret)[ \t]+)(?P<value>{_WORD}{{4,256}}){_END}", _I),
    # Daemons' files: one word and its value on a line.
    _row("rootpw|bindpw|bindpassword|insecure-password|secretpw|dbpw", rf"(?P<before>\b(?:rootpw|bindpw|dbpw|\w{{0,24}}bindpassword|insecure-password)[ \t]+)(?P<value>{_WORD}{{3,256}})", _I),
    _row("password|passphrase|passwd", rf"(?P<before>(?:{_LINE}|[>$#] )(?:password|passphrase|passwd)[ \t]+)(?P<value>{_TALK}{_WORD}{{4,256}}){_END}", _I),
    _row("stats auth|proxyauth|auth_basic_user", rf"(?P<before>\b(?:stats auth|proxyauth)[ \t=]+[\w.@-]{{1,64}}:)(?P<value>{_WORD}{{2,256}})", _I),
    _row("psk|xauth| eap ", rf"(?P<before>:[ \t]*(?:PSK|EAP|XAUTH|NTLM|PIN)[ \t]+{_Q})(?P<value>[^\"'\\]{{2,256}})", _CASE),
    _row("* \"|* \\\"", r"(?P<before>^\\{0,3}\"[\w.@\\-]{1,64}\"[ \t]+(?:\*|[\w.-]{1,64})[ \t]+\\{0,3}\")(?P<value>[^\"\\]{3,256})(?=\\{0,3}\"[ \t]+(?:\*|\d))", _CASE),
    _row("]:", rf"(?P<before>\[[\w.-]{{1,253}}\]:\d{{1,5}}[ \t]+[\w.@+-]{{1,64}}:)(?P<value>{_WORD}{{3,256}})", _CASE),
    _row("*:*:", rf"(?P<before>(?:[\w.*-]{{1,253}}:){{3}}[\w.*@-]{{1,64}}:)(?P<value>{_WORD}{{3,256}}){_END}", _CASE),
    _row(" >", rf"(?P<before>\buser[ \t]+\S{{1,64}}[ \t]+on[ \t]+(?:[\w~*&+@%-]{{1,64}}[ \t]+){{0,4}}>)(?P<value>{_WORD}{{3,256}})", _I),
    _row("grub.pbkdf2", r"(?P<before>\bgrub\.pbkdf2\.)(?P<value>[\w.]{16,1024})", _I),
    _row(":", rf"(?P<before>(?:{_LINE}|^\\{{0,3}}\")[\w.@-]{{1,64}}:[\w .@-]{{1,64}}:)(?P<value>[0-9a-f]{{32}}){_END}", _CASE),
    _row("kind: secret", r"(?P<before>(?:[\r\n]|\\n)[ \t]+(?!name|namespace|uid|type|kind|labels|resourceVersion|creationTimestamp)[\w.-]{1,128}:[ \t]+)(?P<value>[\w+/=-]{4,8192})", _CASE),
    _row("value:", rf"(?P<before>\bname:[ \t]*{_Q}?[\w.-]{{0,64}}(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PASS|password|secret|token){_Q}?(?:[\r\n]|\\n)[ \t]*value:[ \t]*{_Q}?)(?P<value>[^\s\"'\\]{{2,512}})", _CASE),
    # Databases.
    _row("connect ", r"(?P<before>\b(?:connect|conn|sqlplus(?:[ \t]+-\w+)*)[ \t]+[\w$#]{1,64}/)(?P<value>[^\s@\"'/\\]{3,128})", _I),
    _row("@//", r"(?P<before>(?<![\w./:@-])[\w$#]{1,64}/)(?P<value>[^\s@\"'/\\]{3,128})(?=@//)", _CASE),
    _row("crypt(", rf"(?P<before>\b(?:pgp_sym_(?:en|de)crypt|aes_(?:en|de)crypt|des_(?:en|de)crypt)\w{{0,8}}\([^()]{{1,512}}?,\s{{0,4}}{_Q})(?P<value>[^\"'\\]{{2,512}})", _I),
    _row("pragma", rf"(?P<before>\bpragma\s+(?:re)?key\s*=\s*{_Q})(?P<value>[^\"'\\]{{2,512}})", _I),
    # Calls with a user and a password.
    _row("auth(|login(|logon(|signin(|authenticate(", rf"(?P<before>\b\w{{0,24}}(?:auth|login|logon|sign_?in|authenticate)\(\s{{0,4}}(?:[\w.&*]{{1,64}},\s{{0,4}})?{_Q}(?!(?:basic|digest|bearer|ntlm|plain|oauth\w*|kerberos|negotiate|scheme|realm|get|post|put|head|delete)\b)[^\"'\\]{{0,128}}{_Q},\s{{0,4}}{_Q})(?P<value>[^\"'\\]{{3,512}})", _I),
    _row("define", rf"(?P<before>\bdefine\(\s{{0,4}}{_Q}(?P<name>\w{{1,64}}){_Q}\s{{0,4}},\s{{0,4}}{_Q})(?P<value>[^\"'\\]{{3,512}})", _I),
    _row("==|!=|strcmp|equals", rf"(?P<before>{_Q})(?P<value>[^\"'\\\s]{{4,256}})(?={_Q}\s{{0,4}}[=!]=\s{{0,4}}[\w.>-]{{0,32}}(?:password|passwd|pwd|secret|token|passphrase)\b)", _I),
    # Markup.
    _row("<key>|<name>", r"(?P<before><(?:key|name)>(?P<name>[\w .-]{1,64})</(?:key|name)>(?:\s|\\[nrt]){0,16}<(?:string|value|data)>(?:\s|\\[nrt]){0,16})(?P<value>[^<>]{2,8192})", _I),
    _row("name=|key=|id=", rf"(?P<before><[A-Za-z][\w:.-]{{0,64}}\s[^<>]{{0,128}}?\b(?:name|key|id)={_Q}(?P<name>[\w.-]{{1,128}}){_Q}[^<>]{{0,128}}>)(?P<value>[^<>\s][^<>]{{1,4096}})(?=</|$)", _I),
    _row("rsakeyvalue", r"(?P<before><(?:D|P|Q|DP|DQ|InverseQ)>)(?P<value>[\w+/=\s]{12,4096})(?=</|$)", _CASE),
    _row("kty", rf"(?P<before>{_Q}(?:d|k|p|q|dp|dq|qi){_Q}\s{{0,4}}:\s{{0,4}}{_Q})(?P<value>[\w+/=-]{{6,4096}})", _CASE),
    # Prompts and messages.
    _row(" for ", rf"(?P<before>\b(?:password|passphrase|passcode|pin|kennwort)\s+for\s+[^:\r\n\"]{{1,120}}:[ \t]+)(?P<value>{_TALK}(?:[^\r\n\"\\]|\\(?![nrt\"])){{3,256}})", _I),
    _row("passphrase|pass phrase", rf"(?P<before>\b(?:wrong|bad|invalid|incorrect|the|with|using)\s+pass ?phrase\s+{_Q})(?P<value>[^\"'\\]{{6,256}})", _I),
    _row("password is generated|password generated|generated password|following password|initial password|temporary password|default password", r"(?P<before>\b(?:(?:generated|following|initial|temporary|default)\s+(?:\w+\s+){0,2}password|password (?:is |was )?(?:generated|set))[^:\r\n\"]{0,100}:(?:\s|\\[nrt]){1,8})(?P<value>(?:[^\s\"\\]|\\(?![nrt\"])){6,256})", _I, 6),
    _row("using password|with password", rf"(?P<before>\b(?:using|with) password\s+)(?P<value>{_TALK}{_WORD}{{4,256}})(?=\s+(?:for|as|at|on)\b|{_END[3:-1]})", _I, 5),
    _row("auth|log in|login|logon|log on|credential", rf"(?P<before>\b(?:auth\w{{0,16}}|log ?in|log ?on|credentials)\b[^\r\n:/\"]{{0,40}}?\b(?:for|as|with|user)\s+[\w.@-]{{1,64}}[:/])(?P<value>{_WORD}{{5,256}})", _I, 5),
    _row("mot de passe|contraseña|contrasena|senha|wachtwoord|hasło|haslo|пароль|lösenord|salasana|heslo|şifre|parola|密码|密碼|パスワード|암호", rf"(?P<before>(?:mot de passe|contraseña|contrasena|senha|wachtwoord|hasło|haslo|пароль|lösenord|salasana|heslo|şifre|parola|密码|密碼|パスワード|암호)\s{{0,3}}[:=：]\s{{0,3}}{_Q}?)(?P<value>{_WORD}{{3,256}})", _I),
    _row("token|secret|credential", r"(?P<before>\b(?:token|secret|credentials?)\b[^\r\n:=\"]{0,80}:[ \t]+)(?P<value>[\w+/=.~-]{20,512})", _I, 20, True),
    _row("key|secret", r"(?P<before>\b(?:(?:private|secret|master|session|aes|hmac|signing|encryption)[ _-]?key|key: \[redacted\]|seed|secret)[ \t:=]{1,4})(?P<value>(?:0x)?[0-9a-f]{32,1024})\b", _I),
    _row("client_random|client_traffic|server_traffic|exporter_secret", r"(?P<before>\b(?:CLIENT_RANDOM|(?:CLIENT|SERVER)_\w{0,24}(?:TRAFFIC|HANDSHAKE)\w{0,16}|EXPORTER_SECRET)\s+[0-9a-f]{64}\s+)(?P<value>[0-9a-f]{16,192})", _I),
    _row("ntlm", r"(?P<before>\bNTLM\w{0,4}\b[^\r\n]{0,40}?:)(?P<value>[0-9a-f]{32}(?::[0-9a-f]{32})?)\b", _I),
    _row("xprv", r"(?P<before>\b)(?P<value>[xyztuv]prv[0-9A-Za-z]{60,120})", _CASE),
    _row("wif", r"(?P<before>\bwif\W{1,4})(?P<value>[5KLc9][1-9A-HJ-NP-Za-km-z]{40,60})", _I),
    _row("expected |got ", rf"(?P<before>\b(?:password|passwd|passphrase|secret|token|pin)\b\W{{0,3}}\s?(?:expected|got)\s+{_Q}?)(?P<value>{_WORD}{{4,256}})", _I, 0),
    _row("mismatch", rf"(?P<before>\b(?:password|passphrase|secret|token|pin)\s+mismatch\W{{1,3}}{_Q})(?P<value>[^\"'\\]{{3,256}})", _I),
    _row("password>|passphrase>|pin>", rf"(?P<before>\b(?:password|passphrase|pin)>[ \t]{{0,3}})(?P<value>{_WORD}{{3,256}})", _I),
    _row(",", rf"(?P<before>\(\s?\w{{0,24}}(?:password|passwd|secret|passphrase)\s?,\s{{0,2}}{_Q}?)(?P<value>[^\s\"'(),\\]{{4,256}})(?={_Q}?\s?\))", _I, 5),
    _row("key ", rf"(?P<before>\b(?:hmac|aes|api|private|secret|signing|encryption|master) key\s+{_Q}?)(?P<value>{_WORD}{{6,256}})(?={_Q}?\s+(?:rejected|invalid|expired|is|was|not|for|has)\b)", _I, 6),
    _row("pin code", rf"(?P<before>\bpin code\s+{_Q})(?P<value>[^\"'\\]{{3,64}})", _I),
    _row("login ", rf"(?P<before>\blogin\s+[\w.@-]{{1,64}}\s+with\s+{_Q}?)(?P<value>{_TALK}{_WORD}{{5,256}})(?={_Q}?\s+(?:refused|rejected|failed|denied))", _I),
    _row("password ", rf"(?P<before>\bpassword\s+{_Q}?)(?P<value>{_TALK}{_WORD}{{6,256}})(?={_Q}?\s+(?:for user|has expired|is too (?:short|long|weak)|was refused))", _I),
    # Protocols.
    _row("auth ", rf"(?P<before>(?:^|[\r\n>\"']\s?)AUTH (?:\[redacted\]|[\w.@-]{{1,64}})[ ])(?P<value>{_WORD}{{3,256}})", _CASE),
    _row("login", rf"(?P<before>(?:^|[\r\n\"]|\\n|[\w.*]{{1,16}} )LOGIN[ ]+{_Q}?[\w.@+-]{{1,128}}{_Q}?[ ]+{_Q}?)(?P<value>(?:[^\s\"\\]|\\(?![rn\"])){{3,256}})", _CASE),
    _row("identify", rf"(?P<before>\bIDENTIFY[ ]+(?:[\w.\[\]{{}}|^`-]{{1,32}}[ ]+)?)(?P<value>{_WORD}{{3,256}}){_END}", _CASE),
    _row("334 ", r"(?P<before>\b334 [\w+/=]{0,128}(?:\r?\n|\\r\\n|\\n))(?P<value>[A-Za-z0-9+/]{6,512}={0,2})", _CASE),
    _row("send ", r"(?P<before>\bsend(?:_user|ln)?[ ]+(?:-- )?\\{0,3}\")(?P<value>[^\s\"\\]{5,256})(?=\\{1,3}r)", _CASE, 5),
    # Addresses: a page that is opened by who has the link.
    _row("reset|/verify|/confirm|/invit|/activat|/magic|/unsubscribe|/recover", r"(?P<before>/[\w-]{0,24}(?:reset|verify|verification|confirm|invite|invitation|activate|activation|magic|recover|unsubscribe)[\w-]{0,24}/)(?P<value>[\w.~-]{16,512})", _I, 16, True),
    _row("?t=|&t=|?p=|&p=|?k=|&k=|?pw=", r"(?P<before>(?:(?:login|magic|reset|verify|confirm|invite|auth|signin)[\w/.-]{0,64}\?(?:[\w.-]{1,32}=[^\s&\"']{0,128}&){0,8}|[?&](?:u|user|usr|login|username|email)=[^\s&\"']{1,128}&)(?:t|p|k|pw|pass)=)(?P<value>[^\s&\"'<>|]{5,512})", _I, 5),
    # The end of a private key whose beginning is not there.
    _row("-----end ", r"(?P<before>)(?P<value>(?<![\w+/=-])(?:[\w+/=]{16,80}(?:\r?\n|\\r\\n|\\n| )){1,64}(?=-----END [A-Z ]{0,24}PRIVATE KEY))", _I),
    _row("passw", r"(?P<before>\b\w{0,24}passw(?:or)?d::\s{1,4})(?P<value>[\w+/=]{4,1024})", _I),
)  # fmt: skip
HINTS = (
    "community", "rootpw", "bindpw", "stats auth", "proxyauth", "* \"", "* \\\"", "*:*:", " >", "grub.pbkdf2", "connect ", "@//",
    "crypt(", "pragma", "login", "logon", "log on", "log in", "define", "rsakeyvalue", "kty", "mot de passe", "contraseña", "wachtwoord",
    "hasło", "пароль", "lösenord", "salasana", "heslo", "şifre", "parola", "密码", "密碼", "パスワード", "암호", "client_random", "_traffic",
    "xprv", "wif", "identify", "334 ", "send ", "/reset", "/verify", "/confirm", "/invit", "/activat", "/magic", "/unsubscribe",
    "/recover", "?t=", "&p=", "?p=", "-----end ", "]:",
)  # fmt: skip
"""What the rows need beside the words that any secret is announced with (text.HINTS), in lower case."""


def mask_lines(text: str, take: Take) -> str:
    """Secrets by their place in a line."""
    lower = text.lower()
    for row in ROWS:
        if not any(hint in lower for hint in row.hints):
            continue

        def masked(match: re.Match[str], row: Row = row) -> str:
            value = match["value"]
            if is_nothing(value) or not _believable(row, match, value):
                return match.group()
            return match["before"] + take("name", value) + match.group()[match.end("value") - match.start() :]

        text = row.pattern.sub(masked, text)
    return text


def _believable(row: Row, match: re.Match[str], value: str) -> bool:
    if value.startswith("/") and is_place(value):
        return False
    name = match.groupdict().get("name")
    if name is not None:
        strength = names.strength(name)
        return strength == "strong" or (strength == "weak" and looks_random(value))
    if row.random:
        return looks_random(value, row.least) and any(map(str.isdigit, value)) and not is_place(value)
    return not row.least or looks_made_up(value, row.least)
