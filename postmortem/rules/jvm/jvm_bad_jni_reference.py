"""JNI function called with an argument that is none, or on a foreign thread.

What it finds: a fault inside the JVM in a JNI function that a native library called, or that ran on a thread which is
not attached to the JVM.
Why it matters: JNI functions trust their arguments; a stale, deleted or made-up reference faults in the JVM,
where it looks like the JVM's own defect.
Evidence it needs: frames of the JVM directly above a frame of a library that is not the JDK's; the JNI
function's name makes it likely, without names it is possible. Certain is that a thread which no JavaThread has as its
own used a JNIEnv that is not its own; and that the VM was destroyed where its VM thread is gone.
False alarms: heap damage done earlier can fault in the same place with a good reference.
Rivals excluded: a reference that is whole while the heap behind it is damaged: the handle itself is null, freed or no
handle; a library's own bad pointer: the fault is in the JNI function.
What to do: -Xcheck:jni names the wrong call; look for references kept across calls or threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.jvm import _entry as jvm_entry
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.jvm import _null_argument as null_argument
from postmortem.rules.jvm import _references as references
from postmortem.rules.jvm import _state as jvm_views
from postmortem.rules.jvm import _threads as jvm_threads
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Frame

MOST_FRAMES = 6
"""Frames of the VM between the fault and the library; a longer stack has gone on to other work."""
UNATTACHED = 80
"""Above the crash of the library: that is proved by the list of threads."""
INTO_JAVA = 83
"""Above the crash in the method that was entered: that is where it shows."""
_VM_THREAD = "VM Thread"
_NATIVE_THREAD = "Current thread is native thread"
_INVOCATION = Lazy(r"jni_(?:(?:At|De)tachCurrentThread\w*|DestroyJavaVM|GetEnv)")
"""What a thread may call that is not attached: the functions of JavaVM."""
_FAST = Lazy(r"jni_fast_Get\w+Field")
"""Stubs that read a field without leaving native code (jniFastGetField.hpp)."""
_ELSEWHERE = Lazy(r"(?:JavaCalls|SystemDictionary|ClassFileParser|ClassLoader|(?:Interpreter|Shared)Runtime)::")
_STRINGS = Lazy(r"NewString|FindClass|DefineClass|Get(?:Static)?(?:Method|Field)ID|ThrowNew|RegisterNatives")
_MEMBERS = Lazy(r"Call\w*Method|(?:Get|Set)(?:Static)?(?:Object|Boolean|Byte|Char|Short|Int|Long|Float|Double)Field")


RIVALS = (
    "A good reference to an object that was damaged before.",
    "A defect of the JVM in this function.",
)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding. Long: most of it is the text of the finding, which is read in one piece."""
    found = jvm_frames.library_frame(report)
    if not jvm_views.memory_fault(report) or jvm_views.lost_page(report) or not jvm_views.is_jvm(report):
        return
    foreign = _unattached(report)
    if foreign is not None:
        yield _on_a_foreign_thread(report, foreign, found)
        return
    entered, bad = references.jni_call(report), references.no_object(report)
    if entered is not None and bad is not None and bad.argument:
        yield _into_java(report, entered, bad)
        return
    if found is None:
        alone = _alone(report)
        if alone is not None:
            yield _without_caller(report, alone)
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
    wrapper = jvm_frames.jni_wrapper(report)
    if entry is None and names:
        return
    if entry is None and jvm_frames.site(report).java is None:
        return
    method = jvm_frames.native_method(report)
    library = file_name(frame.module)
    function = plain(entry[1].function or "") if entry else wrapper[1] if wrapper else "a JNI function"
    null = null_argument.found(report, function)
    who = jvm_frames.owner(report, frame)
    address = views.fault_address(report)
    at = f" The fault is at {address:#x}" if address is not None else ""
    if address is not None:
        at += ", which no reference of this JVM can be." if address < views.NEAR_NULL else "."
    called = f" The native method is {method[1].function}()." if method and method[1].function else ""
    yield Finding(
        rule=RULE.id,
        title=f"{library} called {function} with {'a NULL argument' if null else _argument(function)}, in {who}",
        severity="critical",
        confidence="likely" if entry or wrapper else "possible",
        claim="cause",
        rivals=RIVALS,
        explanation=(
            f"{who} of {library} called {function}, and the JVM faulted as it used the"
            f" arguments.{at}{called} JNI does not check what it is given."
            f" {null.sentence if null is not None else _usual(function)}"
        ),
        evidence=proof(
            report,
            (views.fault_address_path(report), "the address that was touched"),
            ("crash.fault_address_text", "what lies there"),
            (views.frame_path(report, inside[0][0]), "in the JVM"),
            (views.frame_path(report, entry[0]) if entry else "", "the JNI function"),
            (views.frame_path(report, wrapper[0]) if wrapper and not entry else "", "the call of the JNI function"),
            (null.evidence if null is not None else "", "an exception was pending as the JVM was called"),
            (views.frame_path(report, index), "its caller"),
            (views.frame_path(report, index, "module"), "the library"),
        ),
        remedies=(
            *((null.remedy,) if null is not None else ()),
            *_checks(report),
            f"In {who}, check every reference that outlives a call or is used by another thread: it"
            " must come from NewGlobalRef, and its JNIEnv from AttachCurrentThread of the same thread.",
            "Check what JNI functions return (NULL, a pending exception) before it is used as an argument.",
        ),
    )


def _into_java(report: Report, called: references.Call, bad: references.NoObject) -> Finding:
    """A Java method that JNI entered with what is no object."""
    java = jvm_frames.site(report).java
    assert java is not None
    index, frame = called.library
    library, who = file_name(frame.module or ""), jvm_frames.owner(report, frame)
    method = java[1].function or "a Java method"
    return Finding(
        rule=RULE.id,
        title=f"{library} called {method}() through {called.function} with {bad.value:#x} for {bad.name}, in {who}",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=(
            "An argument on the stack that was overwritten since.",
            "A good object whose header was overwritten.",
            *(("Bytecode that was not verified.",) if references.unverified(report) is not None else ()),
        ),
        explanation=(
            f"{who} of {library} called {called.function}, which entered {method}() itself; there {bad.name} holds"
            f" {bad.value:#x}, where no object lies, and its use was the fault. JNI looks the method up in the class of"
            " the object that it is given, and passes the arguments as the method ID says: an ID of another class, or a"
            " local reference kept after its native method returned, which by then leads to another object, ends in a"
            " method with other parameters. Nothing need have been overwritten."
        ),
        evidence=proof(
            report,
            (bad.path, f"what {bad.name} holds"),
            (views.fault_address_path(report), "the address that was touched"),
            (views.frame_path(report, java[0]), "the Java method"),
            (views.frame_path(report, called.entry), "the function of JNI that entered it"),
            (views.frame_path(report, index), "its caller"),
            (views.frame_path(report, index, "module"), "the library"),
        ),
        remedies=(*references.remedies(report), *_checks(report)),
        specificity=INTO_JAVA,
    )


def _unattached(report: Report) -> tuple[int, Frame] | None:
    """Index and frame of the JNI function that a thread had called which is no thread of Java.

    A log says so of its thread ("Current thread is native thread"); an excerpt may lack the line, and the list.
    """
    crashing = views.crashing_thread(report)
    if crashing is None or crashing[1].java is not None or jvm_frames.site(report).java is not None:
        return None
    notes = report.jvm.notes if report.jvm is not None else ()
    listed = any(thread.java is not None and thread.java.kind == "JavaThread" for thread in report.threads)
    if not (_NATIVE_THREAD in notes if views.is_log(report) else listed):
        return None
    functions = [(index, frame) for index, frame in jvm_frames.vm_frames(report) if _is_jni(frame.function)]
    if not functions or _INVOCATION.fullmatch(plain(functions[-1][1].function or "")):
        return None
    return functions[-1]


def _alone(report: Report) -> str | None:
    """The JNI function that faulted itself, in a log that shows no other frame: who called it is not there."""
    frames = views.crashing_frames(report)
    if not views.is_log(report) or len(frames) != 1:
        return None
    name = plain(frames[0].function or "")
    if frames[0].kind == "stub":
        return name if _FAST.fullmatch(name) else None
    if not jvm_frames.is_vm(frames[0]) or not _is_jni(name) or _INVOCATION.fullmatch(name):
        return None
    return name


def _without_caller(report: Report, function: str) -> Finding:
    """The JVM's function faulted on what it was handed; the native code that called it is not in the excerpt."""
    address = views.fault_address(report)
    null = address is not None and address < views.NEAR_NULL
    at = f" at {address:#x}" if address is not None else ""
    what = "a NULL argument" if null else _argument(function)
    thread = jvm_threads.thread_words(report)
    return Finding(
        rule=RULE.id,
        title=f"Native code called {function} with {what}; which code is not in the log",
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=RIVALS,
        explanation=(
            f"{jvm_views.fault_name(report)}{at} was raised in {function} itself, on {thread}. Only native code calls"
            " it, through JNI, and JNI does not check what it is given."
            + (
                " An object, array or class that an earlier call could not make is NULL, and an exception is pending"
                " then."
                if null
                else f" {_usual(function)}"
            )
            + " The native code that called it is not on the stack that the log shows."
        ),
        evidence=proof(
            report,
            (views.fault_address_path(report), "the address that was touched"),
            (views.frame_path(report, 0), "the JNI function"),
            (jvm_threads.thread_path(report, "name"), "the thread"),
        ),
        remedies=(
            *_checks(report),
            "Get the whole log: the native frames name the library that called, the Java frames the native method.",
            "Check what JNI functions return (NULL, a pending exception) before it is used as an argument.",
        ),
    )


def _on_a_foreign_thread(report: Report, called: tuple[int, Frame], found: tuple[int, Frame, int] | None) -> Finding:
    function = plain(called[1].function or "")
    library = f"{culprit.label(found[1])} of {file_name(found[1].module or '')}" if found else "Native code"
    place = f", in {culprit.label(found[1])}" if found else ""
    crashing = views.crashing_thread(report)
    tid = crashing[1].tid if crashing is not None else None
    leaving = jvm_entry.exit_call(report, found[0]) if found is not None else None
    destroyed = _destroyed(report)
    if destroyed:
        return _after_the_end(report, called, found, leaving)
    ended = (
        " It ran under exit(): the JVM was destroyed before (DestroyJavaVM detaches the thread that calls it), or is"
        " being used while the process ends."
        if leaving is not None
        else ""
    )
    return Finding(
        rule=RULE.id,
        title=f"{function} called on a thread that is not attached to the JVM{place}",
        severity="critical",
        confidence="likely" if views.is_log(report) else "certain",
        claim="cause",
        rivals=RIVALS,
        explanation=(
            f"{library} called {function} on thread {tid}, which the JVM does not know, so that it has no JNIEnv of its"
            " own: the one that it used is another thread's, or was kept from before it was detached. A JNIEnv is valid"
            " on its own thread only; the JVM takes the caller for that thread, and faults or damages its state."
            f"{ended}"
        ),
        evidence=proof(
            report,
            (
                jvm_threads.thread_path(report, "tid"),
                "no thread that the JVM knows" if views.is_log(report) else "no JavaThread has this number",
            ),
            (views.frame_path(report, called[0]), "the JNI function"),
            (views.frame_path(report, found[0]) if found else "", "its caller"),
            (views.frame_path(report, found[0], "module") if found else "", "the library"),
            (views.frame_path(report, leaving[0]) if leaving else "", "atexit handlers and destructors run under it"),
            (views.fault_address_path(report), "the address that was touched"),
        ),
        remedies=(
            *(
                ("Use no JNI in atexit handlers and static destructors; end with the JVM still there, by _exit().",)
                * bool(leaving)
            ),
            "Get the JNIEnv on the thread itself: keep the JavaVM of JNI_OnLoad, call AttachCurrentThread (or"
            " AttachCurrentThreadAsDaemon), and DetachCurrentThread before the thread ends.",
            "Look where the JNIEnv was stored or captured: threads must not share it, nor local references.",
            *_checks(report),
        ),
        specificity=UNATTACHED,
    )


def _destroyed(report: Report) -> bool:
    """DestroyJavaVM has ended the VM: it alone ends the VM thread, which every JVM has, and leaves threads of the VM
    behind, at a safepoint for ever (Threads::destroy_vm, VMThread::wait_for_vm_thread_exit)."""
    jvm = report.jvm
    crashing = views.crashing_thread(report)
    if jvm is None or crashing is None or views.is_log(report) or report.core.truncated:
        return False
    others = [thread.java for index, thread in enumerate(report.threads) if index != crashing[0]]
    known = [java for java in others if java is not None and (java.name or java.kind)]
    if not known or len(known) < len(others) or (jvm.safepoint is not None and jvm.safepoint.state != "synchronized"):
        return False
    # The first Java threads are started after the VM thread, and none but daemons outlive the VM.
    if not any(java.state for java in known) or any(java.daemon is False for java in known):
        return False
    return not any(java.name == _VM_THREAD or (java.kind or "").startswith("VMThread") for java in known)


def _after_the_end(
    report: Report, called: tuple[int, Frame], found: tuple[int, Frame, int] | None, leaving: tuple[int, Frame] | None
) -> Finding:
    """A JNI function that was called when DestroyJavaVM had ended the VM."""
    function = plain(called[1].function or "")
    library = f"{culprit.label(found[1])} of {file_name(found[1].module or '')}" if found else "Native code"
    place = f", in {culprit.label(found[1])}" if found else ""
    return Finding(
        rule=RULE.id,
        title=f"{function} called after the JVM was destroyed{place}",
        severity="critical",
        confidence="certain",
        claim="cause",
        explanation=(
            f"{library} called {function}, and the JVM had been ended by DestroyJavaVM: its VM thread, which every JVM"
            f" has until then, is gone, and {len(report.threads) - 1} threads of the VM that are left stand still for"
            " ever. No function of JNI may be called then, by whatever JNIEnv; the structures that they use are freed."
            + (" It ran under exit()." if leaving is not None else "")
        ),
        evidence=proof(
            report,
            (jvm_threads.thread_path(report, "tid"), "no JavaThread has this number"),
            ("jvm.safepoint.state", "the VM's threads are stopped, and no VM thread is there to let them go on"),
            (views.frame_path(report, called[0]), "the JNI function"),
            (views.frame_path(report, found[0]) if found else "", "its caller"),
            (views.frame_path(report, found[0], "module") if found else "", "the library"),
            (views.frame_path(report, leaving[0]) if leaving else "", "atexit handlers and destructors run under it"),
            (views.fault_address_path(report), "the address that was touched"),
        ),
        remedies=(
            "Let DestroyJavaVM be the last call: after all that uses JNI, on every thread. The launcher calls it when"
            " main() has returned; so use no JNI in atexit handlers and static destructors.",
            "A process can't make a second JVM: one that is needed again later must be kept.",
        ),
        specificity=UNATTACHED,
    )


def _checks(report: Report) -> tuple[str, ...]:
    if jvm_views.checks_jni(report):
        return ()
    return ("Run with -Xcheck:jni: it checks the arguments of every JNI call and stops at the wrong one.",)


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
