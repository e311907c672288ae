"""What there is to triage: files found below the given places, told apart by content, each with an identity."""

from __future__ import annotations

import glob
import hashlib
import io
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from parsers.containers import compressed
from parsers.identity import identity
from postmortem.triage import remote, tarballs, zips

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Kind = Literal["core", "log"]

SMALL = 8 << 20
"""Bytes of an input that shares a worker with others, and is copied where it is a remote one."""
_HEAD = 1 << 12
_NEITHER = "is neither a core nor a fatal error log"
_ET_CORE = 4
_SYSTEMD = re.compile(
    r"core\.(?P<command>.+)\.(?P<uid>[0-9]+)\.(?P<boot>[0-9a-f]{32})\.(?P<pid>[0-9]{1,10})\.(?P<time>[0-9]{10,16})(\..+)?"
)
_XATTR = "user.coredump."
_LOG_TIME = re.compile(rb"^(?:Time|time): (.{8,60}?)(?: elapsed time:.*)?$", re.MULTILINE)
_LOG_BESIDE = re.compile(r"hs_err(?:_pid[0-9]{1,10})?\.log")
_LOG_ENDING = re.compile(r"hs_err.*\.log|.*\.log")
_REMOTE = re.compile(r"[a-z][a-z0-9+]*://")


@dataclass(frozen=True, slots=True)
class Input:
    """A crash to analyze. shown: how its place is called; path: where its bytes are; id: of its content.

    url: where its bytes are to be had by range, of which then none are at `path`.

    facts: what the store that holds it says: host, time, time_source, package.
    """

    shown: str
    path: Path
    id: str
    kind: Kind
    size: int
    facts: dict[str, str] = field(default_factory=dict)
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something found that is not a crash (why), or that can't be read (failed)."""

    shown: str
    why: str
    failed: bool = False


def find(
    places: tuple[str, ...],
    scratch: Path,
    known: Callable[[str], bool],
    host_pattern: re.Pattern[str] | None = None,
    avoid: Path | None = None,
    say: Callable[[str], None] = lambda words: None,
) -> Iterator[Input | Skipped]:
    """Every file below the places, in a stable order.

    scratch: a folder for what has to be unpacked or fetched; nothing is unpacked whose identity is `known`.
    avoid: a folder that is left out, that of our own output. say: told what takes longer than one would think.
    """
    for place in places:
        if _REMOTE.match(place):
            yield from _remote(place, scratch, known, say)
            continue
        paths = _matching(place)
        if not paths:
            yield Skipped(place, "nothing matches this pattern", failed=True)
        for path in paths:
            for file in _walk(Path(path), avoid):
                for item in _examine(file, scratch, known):
                    yield _attributed(item, host_pattern) if isinstance(item, Input) else item


def _matching(place: str) -> list[str]:
    """The paths that a pattern names; a path that exists names itself, whatever is in its name."""
    if not glob.has_magic(place) or os.path.lexists(place):
        return [place]
    return sorted(glob.glob(place, recursive=True))  # noqa: PTH207 - the pattern may be absolute


def _walk(path: Path, avoid: Path | None) -> Iterator[Path | Skipped]:
    try:
        status = path.stat()
    except OSError as error:
        yield Skipped(str(path), error.strerror or "can't be read", failed=True)
        return
    if not stat.S_ISDIR(status.st_mode):
        yield path
        return
    failures: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=failures.append):
        folders[:] = sorted(name for name in folders if avoid is None or not _same(Path(folder) / name, avoid))
        for name in sorted(names):
            yield Path(folder) / name
        while failures:
            yield _closed(failures.pop())
    for failure in failures:
        yield _closed(failure)


def _closed(error: OSError) -> Skipped:
    return Skipped(str(error.filename), error.strerror or "can't be read", failed=True)


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


def _examine(file: Path | Skipped, scratch: Path, known: Callable[[str], bool]) -> Iterator[Input | Skipped]:
    if isinstance(file, Skipped):
        yield file
        return
    shown = os.fsencode(file).decode("utf-8", "backslashreplace")
    try:
        # Never what is not a regular file: to open a pipe waits, to open a device has effects.
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            yield Skipped(shown, "is not a regular file")
            return
        if status.st_size == 0:
            yield Skipped(shown, "is empty")
            return
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            head = opened.read(_HEAD)
            if tarballs.is_tar(head) or (compressed.compression(head) and tarballs.is_tar(_unpacked_head(opened))):
                yield from _unpacked("tarball", tarballs.members(opened), shown, scratch, known)
                return
            if zips.is_zip(head):
                found = list(_unpacked("zip archive", zips.members(opened), shown, scratch, known))
                told = any(isinstance(item, Input) or item.why != _NEITHER for item in found)
                # Else each file in each archive of a program or of documents would be one.
                yield from found if told else [Skipped(shown, "is a zip archive without a core or fatal error log")]
                return
            kind = _kind(opened, head, file.name)
            if kind is None:
                yield Skipped(shown, _NEITHER)
                return
            identity = identify(opened, status.st_size)
        yield Input(shown, file, identity, kind, status.st_size, _facts(file, file.name, kind, status.st_mtime))
    except OSError as error:
        yield Skipped(shown, error.strerror or "can't be read", failed=True)


def identify(file: IO[bytes], size: int) -> str:
    """The identity of a file's content. Raises OSError."""

    def read(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(length)

    return identity(read, size)


def _kind(file: IO[bytes], head: bytes, name: str) -> Kind | None:
    if compressed.compression(head):
        head = _unpacked_head(file)
    if head[:4] == b"\x7fELF" and len(head) > 18:
        order: Literal["little", "big"] = "big" if head[5] == 2 else "little"
        return "core" if int.from_bytes(head[16:18], order) == _ET_CORE else None
    if head[:4] == b"\x7fELF"[: len(head)]:
        return "core" if name.startswith("core") else None  # cut within its first bytes
    from parsers.hs_err import looks_like

    return "log" if b"\0" not in head and looks_like(head) else None


def _unpacked_head(file: IO[bytes]) -> bytes:
    """The first bytes of a compressed file; b"" where the stream is damaged."""
    file.seek(0)
    name = compressed.compression(file.read(8))
    file.seek(0)
    if name is None:
        return b""
    with suppress(EOFError, OSError, ValueError):
        for piece in compressed.chunks(file, name):
            return piece[:_HEAD]
    return b""


def _unpacked(
    what: str,
    members: Iterator[tarballs.Member | zips.Member | tarballs.Left],
    shown: str,
    scratch: Path,
    known: Callable[[str], bool],
) -> Iterator[Input | Skipped]:
    """The crashes in an archive, unpacked one by one into the scratch folder; logs first, which lie beside cores."""
    inputs: list[Input] = []
    damaged: list[Skipped] = []
    try:
        for number, member in enumerate(members):
            name = f"{shown}!{member.shown}"
            if isinstance(member, tarballs.Left):
                yield Skipped(name, member.why)
                continue
            base = Path(member.shown).name
            kind = _kind(io.BytesIO(member.head), member.head, base)
            if kind is None:
                member.skip()
                yield Skipped(name, _NEITHER)
                continue
            # Two members may have one name.
            place = (
                _folder(scratch, f"{shown}!{member.shown.rpartition('/')[0]}")
                / f"unpacked-{_digest(f'{number} {shown}')}"
            )
            with place.open("w+b") as target:
                member.unpack(target)
                found = identify(target, member.size)
            facts = _facts(place, base, kind, member.time)
            _lay_beside(place, base, kind)
            if known(found):
                place.unlink()
            inputs.append(Input(name, place, found, kind, member.size, facts))
    except tarballs.Damaged as damage:
        damaged.append(Skipped(shown, f"the {what} {damage}", failed=True))
    yield from sorted(inputs, key=lambda item: item.kind != "log")
    yield from damaged


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _folder(scratch: Path, there: str) -> Path:
    """One for each folder of an archive or a URL: what lies together there does so here."""
    folder = scratch / f"in-{_digest(there)}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _lay_beside(place: Path, name: str, kind: Kind) -> None:
    """The analysis of a core looks for the log of its process under the JVM's own name."""
    if kind == "log" and _LOG_BESIDE.fullmatch(name):
        with suppress(FileExistsError):
            place.with_name(name).hardlink_to(place)


def _remote(
    place: str, scratch: Path, known: Callable[[str], bool], say: Callable[[str], None]
) -> Iterator[Input | Skipped]:
    """Files of an fsspec URL. Heads, tails and samples are read by range, a large core too when it is analyzed."""
    try:
        import fsspec
    except ImportError:
        yield Skipped(place, "URLs need the package fsspec: pip install 'postmortem[remote]'", failed=True)
        return
    try:
        system, root = fsspec.core.url_to_fs(place)
        names = remote.listed(system, root)
    except Exception as error:  # what a file system raises is its own
        yield Skipped(place, f"can't be listed: {_first_line(error)}", failed=True)
        return
    scratch.mkdir(parents=True, exist_ok=True)
    for name in sorted(
        names, key=lambda name: (name.rpartition("/")[0], not _LOG_BESIDE.fullmatch(name.rpartition("/")[2]))
    ):
        shown = system.unstrip_protocol(name)
        try:
            yield _by_range(system, name, shown, scratch, known)
            continue
        except Exception:  # no ranges, or nothing at all: a copy will tell
            pass
        try:
            yield from _streamed(system, name, shown, scratch, known, say)
        except Exception as error:
            yield Skipped(shown, f"can't be fetched: {_first_line(error)}", failed=True)


def _logs_first(name: str) -> tuple[str, bool, str]:
    folder, _, base = name.rpartition("/")
    return folder, _LOG_BESIDE.fullmatch(base) is None, base


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _by_range(system: Any, name: str, shown: str, scratch: Path, known: Callable[[str], bool]) -> Input | Skipped:
    base = name.rsplit("/", 1)[-1]
    with remote.opened(system, name) as opened:
        size = int(getattr(opened, "size", 0))
        if size == 0:
            return Skipped(shown, "is empty")
        head = opened.read(_HEAD)
        kind = _kind(opened, head, base)
        if kind is None:
            return Skipped(shown, _NEITHER)
        identity = identify(opened, size)
        target = _folder(scratch, shown.rpartition("/")[0]) / f"fetched-{identity}"
        by_range = kind == "core" and compressed.compression(head) is None and size > SMALL
        if not by_range and (not known(identity) or _LOG_BESIDE.fullmatch(base)):
            remote.copy(opened, size, target)
            _lay_beside(target, base, kind)
    facts: dict[str, str] = {}
    with suppress(Exception):  # not every file system knows, and those that do not have their own ways to say so
        facts = _moment(system.modified(name).timestamp(), "mtime")
    if kind == "log" and target.exists():
        facts |= _log_time(target)
    facts |= _from_name(base)
    return Input(shown, target, identity, kind, size, facts, url=shown if by_range else None)


def _streamed(
    system: Any, name: str, shown: str, scratch: Path, known: Callable[[str], bool], say: Callable[[str], None]
) -> Iterator[Input | Skipped]:
    """A file whose server gives no ranges: copied whole, whatever it is."""
    base = name.rsplit("/", 1)[-1]
    copied = scratch / f"copied-{hashlib.sha256(shown.encode()).hexdigest()[:24]}"
    remote.stream(system, name, copied)
    say(f"{shown}: its server gives no ranges, all {copied.stat().st_size} bytes are fetched")
    for item in _examine(copied, scratch, known):
        if isinstance(item, Input):
            yield replace(item, shown=item.shown.replace(str(copied), shown), facts=_from_name(base))
        else:
            yield replace(item, shown=item.shown.replace(str(copied), shown))


def _facts(file: Path, name: str, kind: Kind, changed: float) -> dict[str, str]:
    """file: where the bytes are; name: what the file was called, which is no path of ours."""
    facts = _moment(changed, "mtime")
    if kind == "log":
        facts |= _log_time(file)
    return facts | _from_name(name) | _from_xattrs(file)


def _from_name(name: str) -> dict[str, str]:
    """systemd-coredump: core.COMMAND.UID.BOOT.PID.MICROSECONDS.zst (coredump.c, make_filename)."""
    match = _SYSTEMD.fullmatch(name)
    if match is None:
        return {}
    return _moment(_seconds(match["time"]), "name") | {"pid": match["pid"]}


_YEAR_9999 = 253_370_764_800.0


def _moment(seconds: float, source: str) -> dict[str, str]:
    """A time as facts; none where it is no time that a calendar has."""
    return {"time": str(float(seconds)), "time_source": source} if 0 <= seconds < _YEAR_9999 else {}


def _seconds(digits: str) -> float:
    """Of seconds or microseconds since 1970; not a number where these are no digits of them."""
    if re.fullmatch("[0-9]{1,16}", digits) is None:
        return float("nan")
    return int(digits) / (1e6 if len(digits) > 12 else 1)


def _from_xattrs(file: Path) -> dict[str, str]:
    facts: dict[str, str] = {}
    with suppress(OSError):
        for attribute in os.listxattr(file):
            if not attribute.startswith(_XATTR):
                continue
            value = os.getxattr(file, attribute)[:4096].decode("utf-8", "replace")
            name = attribute.removeprefix(_XATTR)
            if name == "hostname":
                facts |= {"host": value, "attributed_by": "xattr"}
            elif name == "timestamp":
                facts |= _moment(_seconds(value), "xattr")
            elif name in ("package_name", "package_version"):
                facts[name] = value
    return facts


def _log_time(file: Path) -> dict[str, str]:
    """The time that a fatal error log states. Without its zone's offset the zone of this machine is taken."""
    from email.utils import parsedate_to_datetime
    from time import mktime, strptime

    try:
        with file.open("rb") as opened:
            text = opened.read(1 << 22)
    except OSError:
        return {}
    match = _LOG_TIME.search(text)
    if match is None:
        return {}
    words = match[1].decode("ascii", "replace").split()
    with suppress(ValueError, OverflowError):
        # "Thu Mar  5 10:22:33 2020 CET"
        stated = strptime(" ".join(words[:5]), "%a %b %d %H:%M:%S %Y")
        if words[5:] in (["UTC"], ["GMT"]):
            import calendar

            return _moment(calendar.timegm(stated), "log")
        return _moment(mktime(stated), "log")
    with suppress(ValueError, TypeError, OverflowError):
        return _moment(parsedate_to_datetime(" ".join(words)).timestamp(), "log")
    return {}


def _attributed(item: Input, pattern: re.Pattern[str] | None) -> Input:
    match = pattern.search(item.shown) if pattern is not None else None
    if match is None:
        return item
    host = match[1] if match.groups() else match[0]
    return replace(item, facts=item.facts | {"host": host, "attributed_by": "path"})
