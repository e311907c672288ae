"""Two definitions of one class or structure.

What it finds: a call went through a slot that lies behind the last one of the table that the object points at; or two
functions on the stack of a memory fault have one object in variables of a type of one name and of two layouts.
Why it matters: the two sides were compiled with other definitions: the header, or one of the libraries, is of another
version, or a program has two types of one name (C++: the one definition rule).
Evidence it needs: the call instruction, the register with the table, and the symbol that gives the table's size; or the
DWARF of both functions.
False alarms: an object taken for one of another class (a wrong static_cast) calls such slots, too; the members that
differ need not be those that the fault is about. So it is likely only.
Rivals excluded: a null or overwritten function pointer: the slot is no part of any table of that class.
What to do: rebuild both sides with the same headers; look at which header each was compiled with.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model.process import LayoutMismatch, TypeLayout


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
    layouts = report.crash.layouts
    if layouts is not None and views.raised_by_cpu(report):
        yield _layouts(report, layouts)
        return
    call = report.crash.table_call
    if call is None or not views.raised_by_cpu(report) or 0 <= call.offset < call.size:
        return
    if not call.table.startswith(("vtable for ", "construction vtable for ")):
        return
    name = call.table.partition(" for ")[2]
    library = file_name(call.module)
    at_call = report.crash.mnemonic == "call"
    caller = views.blamed(report) if at_call else views.caller_of(report, 0)
    by = f" by {culprit.label(caller[1])}" if caller else ""
    yield Finding(
        rule=RULE.id,
        title=f"Virtual call{by} beyond the end of the vtable of {name} in {library}",
        severity="critical",
        confidence="likely",
        claim="cause",
        explanation=(
            f"The object is a {name} of {library}, whose vtable has {call.size} bytes; the call goes through byte"
            f" {call.offset} of it. The caller believes that the class has more virtual functions, or others: it was"
            f" compiled with another definition of {name} than {library}."
        ),
        rivals=(f"A {name} that was taken for an object of a derived class (static_cast or reinterpret_cast).",),
        evidence=proof(
            report,
            ("crash.instruction" if at_call else "crash.call_site", "the call"),
            ("crash.table_call.table", "the table that its register points into"),
            ("crash.table_call.size", "bytes of the table"),
            ("crash.table_call.offset", "byte of the slot that was called"),
            ("crash.table_call.module", "the library that has the table"),
            (views.frame_path(report, caller[0]) if caller else "", "the caller"),
        ),
        remedies=(
            f"Rebuild {library} and its user{by.replace(' by', ',') if by else ''} with the same header of {name}; look"
            " for an old installed copy (-H shows which header is read) or a library of another version.",
            "Compare both sides with -Wodr and -flto, or abidiff (libabigail) on two versions of the library.",
        ),
    )


def _layouts(report: Report, found: LayoutMismatch) -> Finding:
    here, there = found.here, found.there
    inner, outer = f"{plain(here.function)}()", f"{plain(there.function)}()"
    if here.module != there.module:
        inner, outer = f"{inner} of {file_name(here.module)}", f"{outer} of {file_name(there.module)}"
    return Finding(
        rule=RULE.id,
        title=f"{inner} and {outer} were compiled with two definitions of {found.type}: fault{views.at_fault(report)}"[
            :300
        ],
        severity="critical",
        confidence="likely",
        claim="cause",
        rivals=(f"The members of {found.type} that differ are not those that the fault is about.",),
        explanation=(
            f"{here.variable} of {inner} and {there.variable} of {outer} are one object, at {found.address:#x}. Both"
            f" say that it is a {found.type}: {_difference(here, there)}. What one of them writes there the other"
            " reads as something else."
        ),
        evidence=proof(
            report,
            ("crash.layouts.type", "the type of two definitions"),
            ("crash.layouts.here.function", "one function with the object"),
            ("crash.layouts.here.size", "bytes that it takes it for"),
            ("crash.layouts.there.function", "the other one"),
            ("crash.layouts.there.size", "bytes that this takes it for"),
            ("crash.layouts.address", "the object"),
            ("crash.instruction", "the faulting instruction"),
        ),
        remedies=(
            f"Rebuild {_sides(here, there)} with the same header of {found.type}; look for an old installed copy (-H"
            " shows which header is read) and for options that change its layout (-D, -fpack-struct, _GLIBCXX_DEBUG)."
            if here.module != there.module
            else "Rename one of the two types, or put each into a namespace of its own (an unnamed one); if there"
            " should"
            f" be one only, rebuild all of {file_name(here.module)}.",
            "-flto -Wodr reports such types when a program is linked; abidiff (libabigail) compares two libraries.",
        ),
    )


def _sides(here: TypeLayout, there: TypeLayout) -> str:
    return f"{file_name(here.module)} and {file_name(there.module)}"


def _difference(here: TypeLayout, there: TypeLayout) -> str:
    """The sizes, or the first member that differs."""
    inner, outer = f"{plain(here.function)}()", f"{plain(there.function)}()"
    pairs = zip_longest(here.members, there.members, fillvalue="nothing more")
    first = next(((one, other) for one, other in pairs if one != other), None)
    sizes = f"{inner} takes it for {here.size} bytes, {outer} for {there.size}" if here.size != there.size else ""
    members = "" if first is None else f"{inner} has {first[0]}, {outer} has {first[1]}"
    return "; ".join(part for part in (sizes, members) if part) or "their members differ in type"


RULE = Rule(id="class-definition-mismatch", group="fault", specificity=79, check=check, documentation=__doc__ or "")
