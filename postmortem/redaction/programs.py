"""What short options and words mean to well-known programs, one row for those that agree.

A row has the names of the programs ("snmp*": all that begin so), their options and their words.

Options: "-p" takes a secret as the next argument or attached to it; "-p_" as the next argument only; "-p+" attached only,
because the next argument is something else; "-b!" never takes one; "-u:" takes a user and a secret with this sign between them (":", "%" or ",").
Words: "add_user * S" is the third word behind the first; "^" is the program itself; "*/S" and "*:S@" are a user and a secret in one.
`needs`: a word that must be among the arguments.
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Program(NamedTuple):
    """One row."""

    names: str
    options: str = ""
    words: tuple[str, ...] = ()
    needs: str = ""


PROGRAMS = (
    # databases
    Program("mysql mysqldump mysqlimport mysqlshow mysqlcheck mysqlslap mysqlbinlog mysqlpump mysqlsh mysql_upgrade mycli", "-p+"),
    Program("mysqladmin mariadb-admin", "-p+", ("password S",)),
    Program("mariadb mariadb-*", "-p+"),
    Program("mongo mongosh mongodump mongorestore mongoexport mongoimport mongostat mongotop mongofiles", "-p_"),
    Program("redis-cli redis-benchmark valkey-cli valkey-benchmark keydb-cli", "-a_", ("auth S", "auth * S")),
    Program("sqlcmd bcp tsql mssql-cli", "-P"),
    Program("isql iusql", "", ("^ * * S",)),
    Program("sqlplus sqlldr expdp impdp exp imp rman sqlcl", "", ("*/S",)),
    Program("beeline cqlsh vsql nzsql impala-shell", "-p_"),
    Program("influx", "-t_"),
    # directories, mail, messages
    Program("ldap*", "-w -b!"),
    Program("ldappasswd", "-s -a"),
    Program("dsconf dsidm dsctl", "-w"),
    Program("swaks", "-ap_"),
    Program("sendemail", "-xp_"),
    Program("sendxmpp rabbitmqadmin", "-p_"),
    Program("rabbitmqctl", "", ("add_user * S", "change_password * S", "authenticate_user * S")),
    Program("mosquitto_*", "-P_"),
    # files and other machines
    Program("sshpass", "-p"),
    Program("ssh-keygen", "-N_ -P_"),
    Program("curl wget http https", "-b_ --cookie_"),
    Program("curl", "-E: --cert: --proxy-cert:"),
    Program("http https httpie", "-a_", needs="bearer"),
    Program("http https httpie", "-a: --auth:"),
    Program("lftp", "-u,"),
    Program("ncftp ncftpput ncftpget ncftpls rdesktop psexec login hydra medusa crackmapexec netexec nxc", "-p_"),
    Program("smbclient", "-U%", ("//* S",)),
    Program("secretsdump wmiexec smbexec atexec dcomexec psexec getuserspns getnpusers lookupsid", "", ("*:S@",)),
    Program("rpcclient net winexe smbget smbmap pdbedit", "-U%"),
    Program("smbpasswd", "", ("^ * S",)),
    Program("snmp*", "-c_ -A_ -X_"),
    Program("ipmitool ipmipower", "-P"),
    Program("ttyd", "-c:"),
    Program("swift", "-K_"),
    Program("zip zipcloak unzip", "-P"),
    Program("7z 7za 7zr 7zz", "-p+"),
    Program("rar unrar", "-p+ -hp+"),
    Program("veracrypt truecrypt", "-p_"),
    # users, networks and machines
    Program("useradd usermod", "-p_"),
    Program("htpasswd", "", ("^ * * S",), needs="-b"),
    Program("mkpasswd", "", ("^ S",)),
    Program("wpa_passphrase", "", ("^ * S",)),
    Program("iwconfig", "", ("key S", "enc S")),
    Program("nmcli pppd wg", "", ("password S", "preshared-key S", "private-key S")),
    Program("virsh", "", ("secret-set-value * S",)),
    Program("erl iex elixir werl", "-setcookie_"),
    Program("geth", "-nodekeyhex_ --nodekeyhex_"),
    # keys and accounts of services
    Program("openssl", "-k_ -K_ -hmac_ -macopt:", ("passwd S",)),
    Program("signtool", "/p_"),
    Program("aws", "--value_", needs="securestring"),
    Program("mc mcli", "", ("alias set * * * S", "add * * * S")),
    Program("vault cargo", "", ("login S", "operator unseal S")),
    Program("bw", "", ("unlock S", "login * S")),
    Program("ngrok", "", ("authtoken S", "add-authtoken S")),
    Program("snyk", "", ("auth S",)),
    Program("rclone", "", ("obscure S",)),
    Program("grafana-cli grafana", "", ("reset-admin-password S",)),
    Program("doctl", "-t_"),
    Program("nuget dotnet gem", "-k_"),
    Program("twine", "-p_"),
)  # fmt: skip

SHELLS = frozenset("sh bash dash zsh ksh ash busybox su ssh runuser".split())
# Those that read a secret from their standard input; "echo SECRET | sudo -S", "echo USER:SECRET | chpasswd".
READERS = frozenset("sudo chpasswd passwd cryptsetup kinit smbpasswd gpg gpg2 openssl docker podman su".split())

_IN_MANY_TEXTS = frozenset(["http", "https", "login"])
# Short names, with what stands behind them on a command line or around them in a list.
_SHORT = ("7z ", "rar a", "rar x", "mc alias", "bw unlock", "bw login", "aws ")
_SHORT_IN_LISTS = ("7z", "rar", "mc", "bw", "aws", "wg", "net", "zip", "erl")
_NAMES = sorted(
    {name for row in PROGRAMS for name in row.names.replace("*", "").split() if len(name) >= 4} - _IN_MANY_TEXTS
)
MARKS = (
    *(name for before, name in itertools.pairwise(["-", *_NAMES]) if not name.startswith(before)),
    *_SHORT,
    *(f"{quote}{name}{quote}" for quote in ('"', "'") for name in _SHORT_IN_LISTS),
    ":pserver:",
)
"""Names of which a text that holds a command line has one; shorter ones are in too many texts by themselves."""

_EXACT: dict[str, list[Program]] = {}
_BEGINNINGS: dict[str, list[Program]] = {}
for _row in PROGRAMS:
    for _name in _row.names.split():
        (_BEGINNINGS if _name.endswith("*") else _EXACT).setdefault(_name.rstrip("*"), []).append(_row)
_BEFORE_NAME = re.compile(r"[/\"'`\[({=]")
_VERSION = re.compile(r"-?\d[\d.]*$")
_LONGEST_NAME = 64

WITHIN = 32
"""The program, or what runs it and its own first words, stands among so many arguments."""


def program_name(argument: str) -> str:
    """What a program is called by: no directory, no quotes or brackets, no ".exe"."""
    name = _BEFORE_NAME.split(argument[-_LONGEST_NAME:].rstrip("\"'`])},;\\"))[-1].lower()
    return name.removesuffix(".exe").removesuffix(".py")


@functools.lru_cache(maxsize=1024)
def rows_of(name: str) -> tuple[Program, ...]:
    """What is known of a program by this name."""
    exact = _EXACT.get(name) or _EXACT.get(_VERSION.sub("", name)) or []
    return tuple(exact) + tuple(row for start, rows in _BEGINNINGS.items() if name.startswith(start) for row in rows)


class Meaning(NamedTuple):
    """What an option means from a position on: how it takes its value, and the sign between user and secret."""

    since: int
    following: bool
    attached: bool
    sign: str = ""


class Known(NamedTuple):
    """What the programs among some arguments make of their options and words."""

    options: dict[str, Meaning]
    words: tuple[tuple[int, tuple[str, ...]], ...]


_NOTHING = Known({}, ())


def known(arguments: Sequence[str]) -> Known:
    """What is known of a command line by the programs in it."""
    found = [
        (position, row)
        for position, argument in enumerate(arguments[:WITHIN])
        if argument[:1] not in ("-", "")
        for row in rows_of(program_name(argument))
        if not row.needs or _is_there(row.needs, arguments)
    ]
    if not found:
        return _NOTHING
    options: dict[str, Meaning] = {}
    words = []
    for position, row in found:
        for written in row.options.split():
            sign = written[-1] if written[-1] in ":%," else ""
            option = written.rstrip("_+:%,!")
            following, attached = written[-1] not in "+!", written[-1] not in "_!"
            options.setdefault(option, Meaning(position, following, attached, sign))
        words += [(position, tuple(form.split())) for form in sorted(row.words, key=len, reverse=True)]
    return Known(options, tuple(words))


def _is_there(needed: str, arguments: Sequence[str]) -> bool:
    if needed.startswith("-"):  # a letter among others: -cb
        return any(re.fullmatch(rf"-[A-Za-z]*{needed[1:]}[A-Za-z]*", argument) for argument in arguments[:WITHIN])
    return any(argument.lower() == needed for argument in arguments[:WITHIN])
