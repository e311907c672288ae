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

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model import Finding, Report
from postmortem.model.queries import crash as views
from postmortem.model.queries import culprit
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.jvm import _exhaustion as jvm_exhaustion
from postmortem.rules.jvm import _frames as jvm_frames
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = 0.97
NEARLY = 34
"""Specificity where the VM said nothing of it."""


RIVALS = ("An error for another memory.",)
"""What stays open where the finding is not certain."""


def check(report: Report) -> Iterator[Finding]:
    """At most one finding: certain where the VM said so, possible where a space is full. Long: most of it is text."""
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
    kind = _kind(report)
    caller = jvm_frames.java_caller(report) if said is not None else None
    sizes = f"{jvm_exhaustion.amount(committed)} of {jvm_exhaustion.amount(maximum)} committed"
    if maximum is None:
        sizes = f"{jvm_exhaustion.amount(committed)} committed"
    elif committed is None:
        sizes = f"its limit is {jvm_exhaustion.amount(maximum)}"
    yield Finding(
        rule=RULE.id,
        title=f"{name} exhausted: {sizes}{f', {kind.title}' if kind is not None else ''}",
        severity="critical",
        confidence="certain" if said is not None else "possible",
        claim="cause",
        rivals=RIVALS,
        explanation=(
            f"{name} holds the VM's description of classes. It has a limit ({flag}), and"
            f" {'the next class did not fit' if said is not None else 'is close to it'}.{counts} Classes go only when"
            " their whole class loader does: something defines ever new ones (proxies, scripts, generated serializers),"
            " or keeps the loaders of applications that were taken down."
            + (f" {kind.sentence}" if kind is not None else "")
            + (f" The class that did not fit was wanted by {culprit.label(caller[1])}." if caller is not None else "")
        ),
        evidence=proof(
            report,
            (said[0] if said is not None else "", "what the VM said"),
            (f"jvm.metaspace.{'class_' if is_class_space else ''}committed", "bytes committed"),
            (f"jvm.metaspace.{'class_' if is_class_space else ''}maximum", "bytes allowed"),
            ("jvm.metaspace.classes", "classes"),
            ("jvm.metaspace.loaders", "class loaders"),
            (f"jvm.class_loaders[{kind.one}].name" if kind is not None else "", "such a loader"),
            (f"jvm.class_loaders[{kind.one}].classes" if kind is not None else "", "classes that it defined"),
            (views.frame_path(report, caller[0]) if caller is not None else "", "who wanted the class"),
        ),
        remedies=(
            kind.remedy
            if kind is not None
            else "Look at the class loaders in this report: thousands of a kind, or one with far too many classes,"
            " leak.",
            "Watch it grow with jcmd PID VM.classloader_stats and -Xlog:class+load, and see who defines the classes.",
            f"If the number of classes is right, raise -XX:{flag}.",
        ),
        specificity=None if said is not None else NEARLY,
    )


class _Kind(NamedTuple):
    """The loaders that take most of it. one: the index of such a loader."""

    one: int
    title: str
    sentence: str
    remedy: str


def _kind(report: Report) -> _Kind | None:
    """The class that most loaders are of, where they are many; else the one loader that defined most classes.

    The boot loader's classes are the JDK's, and so many in every JVM.
    """
    groups: dict[str, list[int]] = {}
    loaders = report.jvm.class_loaders if report.jvm is not None else ()
    for index, loader in enumerate(loaders):
        match = _OF_CLASS.fullmatch(loader.name)
        if match is not None:
            groups.setdefault(match[1] or match[2], []).append(index)
    if not groups:
        return None
    name, members = max(groups.items(), key=lambda item: len(item[1]))
    if len(members) >= _MANY and 2 * len(members) > len(loaders):
        classes = sum(loaders[index].classes for index in members)
        return _Kind(
            members[0],
            f"{len(members):,} class loaders of {name}",
            f"{len(members):,} of the {len(loaders):,} loaders are of the class {name}; they defined {classes:,}"
            " classes.",
            f"Find who makes a new {name} each time and keeps it, or an object or class of it: a cache without end, a"
            " thread local, a listener. postmortem analyze --histogram counts the objects.",
        )
    index = max(range(len(loaders)), key=lambda at: loaders[at].classes if loaders[at].name != _BOOT else -1)
    largest = loaders[index]
    if largest.name == _BOOT or 2 * largest.classes < sum(loader.classes for loader in loaders):
        return None
    return _Kind(
        index,
        f"{largest.classes:,} classes of one loader",
        f"{largest.classes:,} classes are of one loader, {largest.name}.",
        f"Find what defines ever new classes in {largest.name}: a generator of proxies, serializers or scripts whose"
        " cache of classes misses.",
    )


_OF_CLASS = Lazy(r"(?:.*\((.+)\)|(.+) @0x[0-9a-f]+)")
"""How a loader is named: by its own name with its class, or by class and address (runtimes.hotspot.heap.metaspace)."""
_BOOT = "boot"
_MANY = 20


def _full(committed: int | None, maximum: int | None) -> bool:
    share = jvm_exhaustion.share(committed, maximum)
    return share is not None and share >= _FULL


RULE = Rule(id="jvm-metaspace-exhausted", group="jvm", specificity=90, check=check, documentation=__doc__ or "")
