"""Virtual call beyond the end of a vtable.

What it finds: a call went through a slot that lies behind the last one of the table that the object points at.
Why it matters: the caller was compiled with another definition of the class than the one that made the object: the
header, or one of the libraries, is of another version.
Evidence it needs: the call instruction, the register with the table, and the symbol that gives the table's size.
False alarms: an object taken for one of another class (a wrong static_cast) calls such slots, too.
Rivals excluded: a null or overwritten function pointer: the slot is no part of any table of that class.
What to do: rebuild both sides with the same headers; look at which header each was compiled with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.files import file_name
from postmortem.model.queries.paths import proof
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(report: Report) -> Iterator[Finding]:
    """At most one finding."""
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


RULE = Rule(id="class-definition-mismatch", group="fault", specificity=79, check=check, documentation=__doc__ or "")
