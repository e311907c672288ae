"""Metaspace exhausted.

What it finds: an OutOfMemoryError for Metaspace or the compressed class space ended the JVM, or either is full.
Why it matters: classes are loaded and never let go of, or the limit is too low.
Evidence it needs: VMError's words, or what is committed against MaxMetaspaceSize or CompressedClassSpaceSize.
False alarms: many classes alone are none; without a limit Metaspace ends with the machine's memory.
Rivals excluded: many classes below the limit: the JVM's own words say that it ended for the error; an error for the
Java heap.
What to do: look at how many class loaders there are, and what makes new ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries.paths import proof
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = 0.97
NEARLY = 34
"""Specificity where the VM said nothing of it."""


RIVALS = ("An error for another memory.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding: certain where the VM said so, possible where a space is full."""
    said = jvm_exhaustion.ran_out_of(report, jvm_exhaustion.METASPACE)
    space = report.jvm.metaspace if report.jvm is not None else None
    full_class = space is not None and _full(space.class_committed, space.class_maximum)
    full = space is not None and _full(space.committed, space.maximum)
    if said is None and not full and not full_class:
        return
    is_class_space = said[1].lower().startswith("compressed") if said is not None else full_class and not full
    name = "Compressed class space" if is_class_space else "Metaspace"
    flag = "CompressedClassSpaceSize" if is_class_space else "MaxMetaspaceSize"
    committed = maximum = None
    counts = ""
    if space is not None:
        committed = space.class_committed if is_class_space else space.committed
        maximum = space.class_maximum if is_class_space else space.maximum
        if space.classes is not None and space.loaders is not None:
            counts = f" {space.classes:,} classes of {space.loaders:,} loaders are loaded."
    yield Finding(
        rule=RULE.id,
        title=f"{name} exhausted: {jvm_exhaustion.amount(committed)} of {jvm_exhaustion.amount(maximum)} committed",
        severity="critical",
        confidence="certain" if said is not None else "possible",
        claim="cause",
        rivals=RIVALS,
        explanation=(
            f"{name} holds the VM's description of classes. It has a limit ({flag}), and"
            f" {'the next class did not fit' if said is not None else 'is close to it'}.{counts} Classes go only when"
            " their whole class loader does: something defines ever new ones (proxies, scripts, generated serializers),"
            " or keeps the loaders of applications that were taken down."
        ),
        evidence=proof(
            report,
            (said[0] if said is not None else "", "what the VM said"),
            (f"jvm.metaspace.{'class_' if is_class_space else ''}committed", "bytes committed"),
            (f"jvm.metaspace.{'class_' if is_class_space else ''}maximum", "bytes allowed"),
            ("jvm.metaspace.classes", "classes"),
            ("jvm.metaspace.loaders", "class loaders"),
            ("jvm.class_loaders[0].name", "the loader with most classes"),
            ("jvm.class_loaders[0].classes", "how many"),
        ),
        remedies=(
            "Look at the class loaders in this report: thousands of a kind, or one with far too many classes, leak.",
            "Watch it grow with jcmd PID VM.classloader_stats and -Xlog:class+load, and see who defines the classes.",
            f"If the number of classes is right, raise -XX:{flag}.",
        ),
        specificity=None if said is not None else NEARLY,
    )


def _full(committed: int | None, maximum: int | None) -> bool:
    share = jvm_exhaustion.share(committed, maximum)
    return share is not None and share >= _FULL


RULE = Rule(id="jvm-metaspace-exhausted", group="jvm", specificity=90, check=check, documentation=__doc__ or "")
