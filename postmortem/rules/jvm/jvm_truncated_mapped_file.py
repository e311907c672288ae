"""File cut short while the JVM had it mapped.

What it finds: SIGBUS on a mapped page that its file no longer has: a MappedByteBuffer's, an archive's (jar, zip), the
class data archive's; Windows' in-page error. As a lead: the InternalError that newer JVMs throw instead.
Why it matters: neither the pointer nor the JVM is wrong; somebody truncated or replaced the file in place.
Evidence it needs: SIGBUS with BUS_ADRERR in a file mapping, or in zip or buffer code; or the error in the event log.
False alarms: a full tmpfs, a disk error, or huge pages that ran out raise the same signal; the text names them.
What to do: replace files by rename, never in place; deploy to a new directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Frame, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.model.queries.systems import system
from postmortem.rules import advice
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHIVES = (".jar", ".zip", ".war", ".ear", ".jmod", ".hpi", ".aar")
_BUFFERS = ("java.nio.", "sun.nio.", "jdk.internal.foreign.", "jdk.internal.misc.ScopedMemoryAccess")
_ZIP = ("libzip.", "zip.dll", "libjimage.", "jimage.dll")
RECENT_FAULT = "unsafe memory access operation"


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    if not jvm_views.is_jvm(report):
        return
    if not jvm_views.lost_page(report):
        if (copied := _copied(report)) is not None:
            yield copied
            return
        if (found_in := _in_directory(report)) is not None:
            yield _replaced(report, *found_in)
            return
        yield from _thrown(report)
        return
    address = views.fault_address(report)
    found = views.mapping_at(report, address) if address is not None else None
    path = found[1].path if found is not None else None
    if (path is not None and path.startswith("[")) or (found is not None and path is None):
        return
    in_zip = _by_zip(report)
    in_libc = path is None and _in_libc(report)
    if path is None and not in_zip and not in_libc and not _by_buffer(report) and not _outside_heap(report, address):
        return
    kind, why, remedy = _kind(path, in_zip)
    name = file_name(path) if path else "A mapped file"
    offset = address - found[1].start + (found[1].offset or 0) if found is not None and address is not None else None
    at = f" at byte {offset:#x}" if offset is not None else ""
    caller = jvm_frames.java_caller(report)
    by = f", called from {jvm_frames.java_place(caller[1])}" if caller else ""
    blamed = views.blamed(report)
    in_ = f" in {culprit.label(blamed[1])}" if blamed else ""
    written = found is not None and "w" in found[1].permissions and views.access_word(report) == "write"
    if written:
        why = (
            "The file system was full when a page that the sparse file did not have yet was first written, or the file"
            " was truncated after it was mapped."
        )
    yield Finding(
        rule=RULE.id,
        title=(
            f"No page for {name}, which the JVM had mapped and wrote to{at}: its file system was full, or it was cut"
            if written
            else f"A page of a mapping could not be had{at}{in_}: a file that was cut short, or a full file system"
            if in_libc
            else f"{name} was cut short while the JVM had it mapped{at}: {kind}"
        ),
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"{jvm_views.fault_name(report)}{in_}{by}: the page"
            + (f" at {address:#x}" if address is not None else "")
            + (f" belongs to {path}{at}" if path else " belongs to a mapping of a file")
            + f", and the system could not supply it. {why} {_newer(report, in_zip)}"
        ),
        rivals=tuple(_rivals(found is None or "w" in found[1].permissions)),
        evidence=proof(
            report,
            ("crash.signal.code_name", "mapped, but the page cannot be had"),
            (views.fault_address_path(report), "the address that was touched"),
            (f"mappings[{found[0]}].path" if found else "", "the file"),
            (f"mappings[{found[0]}].offset" if found else "", "its offset at the start of the mapping"),
            (views.blamed_path(report), "the function"),
            (views.frame_path(report, caller[0]) if caller else "", "the Java code"),
        ),
        remedies=(
            remedy,
            *advice.file_watch(report),
        ),
    )


_COPIES = Lazy(
    r"(?:(?:arrayof_)?(?:jbyte|jshort|jint|jlong|unsafe|generic)_\w*(?:copy|fill)\w*|unsafe_\w+|\w*memory_copy)"
)
"""Stubs that copy memory which may be a mapped file's: buffers and Unsafe use those for primitive types."""


def _copied(report: Report) -> Finding | None:
    """SIGBUS without siginfo in a stub that copies plain memory, or in the zip library.

    The code that would tell is not there. On x86 no misaligned access of these raises SIGBUS; on AArch64 it may.
    """
    if jvm_views.fault_name(report) != "SIGBUS" or views.code(report) is not None or not jvm_views.own_fault(report):
        return None
    frame = jvm_frames.top(report)
    platform = (report.host.platform if report.host is not None else None) or ""
    if frame is None or not views.is_log(report) or not platform.endswith(("-amd64", "-x64", "-x86")):
        return None
    in_zip = _by_zip(report)
    stub = frame.kind == "stub" and _COPIES.fullmatch(frame.function or "") is not None
    in_libc = _in_libc(report) and _OF_LIBC.search(frame.function or "") is not None and not _on_macos(report)
    if not stub and not in_zip and not in_libc:
        return None
    kind, why, remedy = _kind(None, in_zip)
    kind = "a file that was cut short, or a full file system" if in_libc else kind
    caller = jvm_frames.java_caller(report)
    by = f", called from {jvm_frames.java_place(caller[1])}" if caller else ""
    place = f"the stub {frame.function}" if stub else culprit.label(frame)
    return Finding(
        rule=RULE.id,
        title=f"SIGBUS in {place}: a page of a mapped file could not be had, {kind}",
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"SIGBUS in {place}{by}, which copies plain memory: what raises SIGBUS there is a page of a mapped file"
            f" that the system could not supply. {why} The log has no siginfo, which would say so."
            f"{'' if in_libc else ' ' + _newer(report, in_zip)}"
        ),
        rivals=(*_rivals(True), *(("A page without access: macOS raises SIGBUS for that, too.",) * _on_macos(report))),
        evidence=proof(
            report,
            ("crash.signal.name", "the signal"),
            (views.frame_path(report, 0), "what copied"),
            (views.frame_path(report, caller[0]) if caller else "", "the Java code"),
        ),
        remedies=(remedy, *advice.file_watch(report)),
    )


def _on_macos(report: Report) -> bool:
    return system(report).name == "macos"


_READERS = Lazy(r"java\.util\.zip\.ZipFile\.(?:getEntry|getNextEntry)")
_OF_LIBC = Lazy(r"^_*(?:mem(?:cpy|move|set|chr|cmp)|str(?:n?len|n?cmp|n?cpy))")
_DIRECTORY = Lazy(r"ZIP_(?:Get|Find)Entry\d?|ZIP_GetNextEntry|newEntry|getCEN|(?:read|check)CEN|ZIP_Lock")
"""Functions of JDK 8's zip_util.c that read the mapped directory of an archive."""


def _in_directory(report: Report) -> tuple[int, Frame] | None:
    """The function of JDK 8's zip library that read the directory of an archive, mapped since it was opened."""
    release = jvm_views.major(report)
    found = jvm_frames.library_frame(report)
    if found is None or not _by_zip(report) or (release is not None and release > 8):
        return None
    index, frame, _ = found
    # Natively read was the directory up to JDK 8 alone: that the method is a native one tells the release.
    method = jvm_frames.native_method(report)
    reading = method is not None and _READERS.fullmatch(method[1].function or "") is not None
    if frame.function is None and reading and jvm_views.own_fault(report):
        return index, frame
    told = (release is not None or reading) and (jvm_views.memory_fault(report) or report.crash.signal is None)
    if not told or frame.function is None or not _DIRECTORY.fullmatch(plain(frame.function)):
        return None
    return (index, frame) if jvm_views.own_fault(report) else None


def _replaced(report: Report, index: int, frame: Frame) -> Finding:
    kind, why, remedy = _kind(None, True)
    caller = jvm_frames.java_caller(report)
    by = f", called from {jvm_frames.java_place(caller[1])}" if caller else ""
    return Finding(
        rule=RULE.id,
        title=f"{jvm_views.fault_name(report)} in {culprit.label(frame)} of the JDK's zip library: {kind}",
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"{jvm_views.fault_name(report)} in {culprit.label(frame)}{by}, which reads the directory of an open"
            " archive"
            f" through a mapping. {why} What it then finds there are no entries of the archive that it opened."
            f" {_newer(report, True)}"
        ),
        rivals=(
            "An archive that was closed by one thread while another read it.",
            "Memory of the zip library that other native code had damaged.",
        ),
        evidence=proof(
            report,
            (views.frame_path(report, index), "the function"),
            (views.fault_address_path(report), "the address that was touched"),
            (views.frame_path(report, caller[0]) if caller else "", "the Java code"),
            ("jvm.version", "a JVM that maps archives"),
        ),
        remedies=(remedy, *advice.file_watch(report)[:1]),
    )


def _rivals(writable: bool) -> Iterator[str]:
    if writable:
        yield "A full file system: a page of a sparse file that was never written has no room to be stored."
    yield "An input/output error of the disk, or a network file system that dropped the file."


def _kind(path: str | None, in_zip: bool) -> tuple[str, str, str]:
    """What kind of mapping, why it fails, and what to do."""
    name = file_name(path or "").lower()
    if name.endswith(ARCHIVES) or in_zip:
        return (
            "an archive that was replaced while it was open",
            "The JVM maps the directory of an open archive; a build or a deployment overwrote the file in place.",
            "Deploy into a new directory, or write beside the archive and rename; never copy over a jar in use. On JDK"
            " 8 -Dsun.zip.disableMemoryMapping=true reads instead of mapping.",
        )
    if "hsperfdata" in (path or ""):
        return (
            "the JVM's own counters",
            "This is the JVM's counter file in /tmp: the file system is full, or a clean-up truncated it.",
            "Free space in /tmp, or run with -XX:+PerfDisableSharedMem (jps and jstat then do not see this JVM).",
        )
    if name.endswith(".jsa") or name == "modules":
        return (
            "a file of the JDK",
            "The file belongs to the JDK: it was updated in place under a running JVM.",
            "Stop the JVMs before their JDK is updated, or install the new JDK into another directory.",
        )
    if path is not None and path.startswith(("/memfd:", "/dev/hugepages", "/anon_hugepage", "/dev/shm/")):
        return (
            "memory that could not be backed",
            "The mapping is memory, not a file on disk: huge pages or tmpfs ran out.",
            "Check free huge pages (/proc/meminfo) and the size of /dev/shm, and the container's limits.",
        )
    return (
        "a MappedByteBuffer or MemorySegment on it",
        "The file was truncated, or replaced by a shorter one in place, after it was mapped.",
        "Have the writer make a new file and rename it over the old one; have the reader check the size before it maps,"
        " and agree on a lock.",
    )


def _newer(report: Report, in_zip: bool) -> str:
    release = jvm_views.major(report)
    if in_zip and (release is None or release < 9):
        return "JDK 9 and newer read the directory of an archive instead of mapping it."
    if jvm_frames.library_frame(report) is not None:
        return "In Java code the JVM throws InternalError for it; in native code it can't."
    return "For single accesses from Java code the JVM throws InternalError; this one it could not mend."


def _by_zip(report: Report) -> bool:
    found = jvm_frames.library_frame(report)
    return found is not None and file_name(found[1].module or "").startswith(_ZIP)


def _by_buffer(report: Report) -> bool:
    return any((frame.function or "").startswith(_BUFFERS) for _, frame in jvm_frames.java_frames(report))


def _in_libc(report: Report) -> bool:
    """A function of libc read or wrote the page for native code."""
    frame = jvm_frames.top(report)
    return frame is not None and frame.module is not None and jvm_frames.is_system(frame.module)


def _outside_heap(report: Report, address: int | None) -> bool:
    """Generated code reached for memory that is not the heap's: a buffer's, inlined to its bare address.

    Where the spaces are not known, any: pages of a heap are anonymous and can't be lost, but for huge ones.
    """
    innermost = jvm_frames.top(report)
    spaces = report.jvm.heap.spaces if report.jvm is not None and report.jvm.heap is not None else ()
    bounds = [(space.start, space.end) for space in spaces if space.start is not None and space.end is not None]
    return (
        innermost is not None
        and jvm_frames.is_generated(innermost)
        and address is not None
        and not any(start <= address < end for start, end in bounds)
    )


def _thrown(report: Report) -> Iterator[Finding]:
    """The InternalError in the VM's event log: it may have been caught, so it is a lead only."""
    for index, log in enumerate(report.jvm.events if report.jvm is not None else ()):
        for number, event in enumerate(log.events):
            if RECENT_FAULT not in event.text:
                continue
            yield Finding(
                rule=RULE.id,
                title="A mapped file was read beyond its end earlier: InternalError was thrown",
                severity="medium",
                confidence="possible",
                claim="cause",
                explanation=(
                    "The JVM's event log has the InternalError that it throws when a page of a mapped file can't be"
                    " supplied: a file was cut short while it was mapped."
                ),
                evidence=proof(report, (f"jvm.events[{index}].events[{number}].text", "in the event log")),
                remedies=("Find the InternalError in the program's log; its stack names the buffer.",),
                specificity=30,
            )
            return


RULE = Rule(id="jvm-truncated-mapped-file", group="jvm", specificity=88, check=check, documentation=__doc__ or "")
