"""References that lead to no object, and who may have handed them to Java code: JNI, or unverified bytecode."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _state as jvm_views

if TYPE_CHECKING:
    from postmortem.model import Frame, Report

_NO_OBJECT = "no object lies there"
"""What runtimes.hotspot.stack.variables says of a reference without a class."""
_HEADER = 0x20
"""Bytes of an object that tell its class, and of the class that tell its kind."""
_OFF = ("-Xverify:none", "-noverify", "-XX:-BytecodeVerificationRemote", "-XX:-BytecodeVerificationLocal")
_CALL = Lazy(r"(?:checked_)?jni_(?:Call\w*Method|NewObject)\w*|(?:Call\w*Method|NewObject)\w*")
_UNNAMED = "a function of JNI"
_BETWEEN = 6
"""Frames of the VM between the stub that enters Java code and the function of JNI."""


class NoObject(NamedTuple):
    """A variable of type reference that holds no object. path: of its value. argument: `this` or a parameter."""

    path: str
    name: str
    value: int
    argument: bool


def no_object(report: Report) -> NoObject | None:
    """The variable of the innermost Java method whose value is what the instruction took for an object."""
    java = jvm_frames.site(report).java
    address, operand = views.fault_address(report), views.faulting_operand(report)
    if java is None or not jvm_views.memory_fault(report):
        return None
    base = operand[1].base_value if operand is not None else None
    for member, values in (("arguments", java[1].arguments), ("locals", java[1].locals)):
        for number, item in enumerate(values or ()):
            text = item.value or ""
            value = int(text, 16) if item.unavailable == _NO_OBJECT and text.startswith("0x") else None
            if value is None or (base != value and not (address is not None and 0 <= address - value < _HEADER)):
                continue
            path = views.frame_path(report, java[0], f"{member}[{number}].value")
            return NoObject(path, item.name, value, member == "arguments")
    return None


class Damaged(NamedTuple):
    """An object whose header was overwritten. path: of what is there; name: the variable or register that leads to it;
    after: "int[62]", the array that ends where the object begins; whole: from its first byte on."""

    path: str
    name: str
    after: str
    sentence: str
    remedy: str
    whole: bool


def ending(damaged: Damaged | None) -> str:
    """The ending of a title."""
    if damaged is None or not damaged.whole:
        return ""
    return f": the header of {damaged.name} was overwritten, right behind {damaged.after}"


def damaged(report: Report) -> Damaged | None:
    """The object right behind a primitive array that a variable of the innermost Java method or a register leads to."""
    java = jvm_frames.site(report).java
    if not jvm_views.own_fault(report):
        return None
    for member in ("arguments", "locals") if java is not None else ():
        for number, item in enumerate(getattr(java[1], member) if java is not None else ()):
            found = _AFTER.search(item.points_to or "") if item.unavailable == _NO_OBJECT else None
            if java is not None and found is not None:
                path = views.frame_path(report, java[0], f"{member}[{number}].points_to")
                name = f"the object in the variable {item.name}"
                return _damaged(report, path, name, f"{name}, at {item.value},", found[1], found[2])
    for index, there in enumerate(report.jvm.damaged if report.jvm is not None else ()):
        name = f"the object in {there.register}"
        who = f"{name}, at {there.address:#x},"
        return _damaged(report, f"jvm.damaged[{index}].words", name, who, there.words, there.after, there.marked)
    return None


def _damaged(report: Report, path: str, name: str, who: str, words: str, after: str, marked: bool = False) -> Damaged:
    libraries = jvm_frames.application_libraries(report)
    mine = f" Native libraries of the application: {', '.join(libraries)}." if libraries else ""
    leaves = (
        " The collector has put its mark in the place of the first word, so whether that was overwritten, too, is not"
        " known; if it was, by a write past the end of that array."
        if marked
        else " A write past the end of that array leaves such a header."
    )
    sentence = (
        f" {who[0].upper()}{who[1:]} has no class any more: its first bytes are {words}; right before it ends {after}."
        f"{leaves} Java code checks every index, so it takes native code that holds the array through"
        " GetPrimitiveArrayCritical, or Unsafe; a stray write of native code may have hit the class alone, too."
        f"{mine}"
    )
    kind = after.partition("[")[0]
    kind = f"an {kind}" if kind == "int" else f"a {kind}"
    by = f" ({', '.join(libraries)})" if libraries else ""
    return Damaged(path, name, after.partition(" @")[0], sentence, _BOUNDS.format(kind=kind, who=by), not marked)


_AFTER = Lazy(r"bytes are ([0-9a-fx ]+); right before it ends (\w+\[\d+\] @0x[0-9a-f]+)")
_BOUNDS = (
    "Check the bounds of whatever writes to {kind}[] between GetPrimitiveArrayCritical and its release{who}, or through"
    " Unsafe; -Xcheck:jni puts guard zones around such arrays and tells which library wrote over them."
)


class Call(NamedTuple):
    """Who called the innermost Java method through JNI. library: index and frame; function: of JNI, with its index."""

    function: str
    entry: int
    library: tuple[int, Frame]

    @property
    def words(self) -> str:
        """ "CallVoidMethod by notify(), index.c:6 of libindex.so"."""
        frame = self.library[1]
        return f"{self.function} by {culprit.label(frame)} of {file_name(frame.module or '')}"


def jni_call(report: Report) -> Call | None:
    """The call of JNI that entered the innermost Java method itself, by a library that is not the JDK's."""
    java = jvm_frames.site(report).java
    frames = views.crashing_frames(report)
    if java is None:
        return None
    start = java[0] + len(jvm_frames.activation(report, java[0]))
    if start >= len(frames) or frames[start].kind != "stub" or frames[start].function != "call_stub":
        return None
    entry: tuple[int, str] | None = None
    for index in range(start + 1, min(start + 2 + _BETWEEN, len(frames))):
        frame = frames[index]
        name = plain(frame.function or "")
        if jvm_frames.is_vm(frame):
            if _CALL.fullmatch(name):
                entry = index, name.removeprefix("checked_").removeprefix("jni_")
            elif frame.function is None and (entry is None or entry[1] == _UNNAMED):
                entry = index, _UNNAMED  # the VM's outermost frame, where it has no names
            continue
        if frame.module is None or frame.trust == "scan" or entry is None:
            return None
        if jvm_frames.is_system(frame.module) or jvm_frames.is_jdk_library(report, frame.module):
            return None
        if _CALL.fullmatch(name.rpartition("::")[2]):
            continue  # the wrapper of jni.h
        return Call(entry[1], entry[0], (index, frame))
    return None


def unverified(report: Report) -> tuple[str, str] | None:
    """(path, words) of the setting by which classes of the application are not verified."""
    found = jvm_views.flag(report, "BytecodeVerificationRemote")
    jvm = report.jvm
    for index, argument in enumerate(jvm.arguments if jvm is not None else ()):
        if argument in _OFF[:3]:
            return f"jvm.arguments[{index}]", argument
    return (found[0], _OFF[2]) if found is not None and found[1] == "false" else None


def why(report: Report) -> str:
    """A sentence on how Java code came to use what is no object."""
    called, off = suspected(report), unverified(report)
    causes = []
    if called is not None:
        causes.append(
            f"{called.words} entered this very method, with a receiver or arguments that are not its own (a method ID"
            " of another class, a stale reference)"
        )
    if off is not None:
        causes.append(f"its bytecode takes a number for an object: {off[1]} leaves classes unverified")
    causes.append(
        "a reference or an object header was overwritten before, by Unsafe, a native library, an agent, or by hardware"
    )
    either = "either " if len(causes) > 1 else ""
    return f" Bytecode that was verified can't do that with whole objects: {either}{', or '.join(causes)}."


def suspected(report: Report) -> Call | None:
    """The call of JNI that entered the method, unless all that it passed can be seen and is what it should be."""
    java = jvm_frames.site(report).java
    passed = java[1].arguments if java is not None else ()
    return None if passed and all(item.unavailable is None for item in passed) else jni_call(report)


def remedies(report: Report) -> tuple[str, ...]:
    """What tells the explanations of `why` apart, but for damage."""
    called, off = suspected(report), unverified(report)
    found = []
    if called is not None:
        place = culprit.label(called.library[1])
        found.append(
            f"Look in {place} at the object and the method ID of that call: an object that is kept needs NewGlobalRef,"
            " and the ID must come from its own class."
        )
    if off is not None:
        found.append(f"Run without {off[1]}: a VerifyError then names the class that is wrong.")
    return tuple(found)
