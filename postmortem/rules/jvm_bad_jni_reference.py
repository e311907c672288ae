"""JNI function called with an argument that is none.

What it finds: a fault inside the JVM in a JNI function that a native library called.
Why it matters: JNI functions trust their arguments; a stale, deleted or made-up reference faults in the JVM,
where it looks like the JVM's own defect.
Evidence it needs: frames of the JVM directly above a frame of a library that is not the JDK's; the JNI
function's name makes it likely, without names it is possible.
False alarms: heap damage done earlier can fault in the same place with a good reference.
What to do: -Xcheck:jni names the wrong call; look for references kept across calls or threads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.rules import culprit, jvm_frames, jvm_views, views
from postmortem.rules.names import plain
from postmortem.rules.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_FRAMES = 6
"""Frames of the VM between the fault and the library; a longer stack has gone on to other work."""
_ELSEWHERE = re.compile(r"(?:JavaCalls|SystemDictionary|ClassFileParser|ClassLoader|(?:Interpreter|Shared)Runtime)::")
_STRINGS = re.compile(r"NewString|FindClass|DefineClass|Get(?:Static)?(?:Method|Field)ID|ThrowNew|RegisterNatives")
_MEMBERS = re.compile(
    r"Call\w*Method|(?:Get|Set)(?:Static)?(?:Object|Boolean|Byte|Char|Short|Int|Long|Float|Double)Field"
)


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    found = jvm_frames.library_frame(report)
    if (
        not jvm_views.memory_fault(report)
        or jvm_views.lost_page(report)
        or found is None
        or not jvm_views.is_jvm(report)
    ):
        return
    index, frame, _ = found
    inside = jvm_frames.vm_frames(report)
    assert frame.module is not None
    if not inside or len(inside) > MOST_FRAMES or jvm_frames.is_jdk_library(report, frame.module):
        return
    if any(
        not jvm_frames.is_system(item.module or "") for at, item in jvm_frames.site(report).native if at < inside[0][0]
    ):
        return
    names = [plain(item.function) for _, item in inside if item.function is not None]
    if any(_ELSEWHERE.match(name) for name in names):
        return
    entry = next((item for item in reversed(inside) if _is_jni(item[1].function)), None)
    if entry is None and names:
        return
    where = jvm_frames.site(report).java
    if entry is None and where is None:
        return
    library = jvm_frames.file_name(frame.module)
    function = plain(entry[1].function or "") if entry else "a JNI function"
    address = views.fault_address(report)
    at = f" The fault is at {address:#x}" if address is not None else ""
    if address is not None:
        at += ", which no reference of this JVM can be." if address < views.NEAR_NULL else "."
    called = f" The native method is {where[1].function}()." if where and where[1].function else ""
    yield Finding(
        rule=RULE.id,
        title=f"{library} called {function} with {_argument(function)}, in {culprit.label(frame)}",
        severity="critical",
        confidence="likely" if entry else "possible",
        explanation=(
            f"{culprit.label(frame)} of {library} called {function}, and the JVM faulted as it used the"
            f" arguments.{at}{called} JNI does not check what it is given. {_usual(function)}"
        ),
        evidence=proof(
            report,
            (views.fault_address_path(report), "the address that was touched"),
            ("crash.fault_address_text", "what lies there"),
            (views.frame_path(report, inside[0][0]), "in the JVM"),
            (views.frame_path(report, entry[0]) if entry else "", "the JNI function"),
            (views.frame_path(report, index), "its caller"),
            (views.frame_path(report, index, "module"), "the library"),
        ),
        remedies=(
            "Run with -Xcheck:jni: it checks the arguments of every JNI call and stops at the wrong one.",
            f"In {culprit.label(frame)}, check every reference that outlives a call or is used by another thread: it"
            " must come from NewGlobalRef, and its JNIEnv from AttachCurrentThread of the same thread.",
            "Check what JNI functions return (NULL, a pending exception) before it is used as an argument.",
        ),
    )


def _is_jni(function: str | None) -> bool:
    return function is not None and plain(function).startswith(("jni_", "checked_jni_"))


def _argument(function: str) -> str:
    if _STRINGS.search(function):
        return "a bad pointer"
    return "a bad method, field or object reference" if _MEMBERS.search(function) else "a bad reference"


def _usual(function: str) -> str:
    if _STRINGS.search(function):
        return "Usual causes: a string that was freed or is not terminated, or a class reference kept too long."
    if _MEMBERS.search(function):
        return (
            "Usual causes: a jmethodID or jfieldID of a class that was unloaded or of another class, a local reference"
            " kept after its native method returned, a deleted global reference."
        )
    return (
        "Usual causes: a local reference kept after its native method returned or used by another thread, a deleted"
        " global reference, a pointer or handle of the library taken for a jobject."
    )


RULE = Rule(id="jvm-bad-jni-reference", group="jvm", specificity=78, check=check, documentation=__doc__ or "")
