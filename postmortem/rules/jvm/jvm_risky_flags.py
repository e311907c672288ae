"""Risky VM flags.

What it finds: flags on the command line that are known to hide errors, to change what is safe, or to work against one
another.
Why it matters: a crash with such a flag is often the flag's own, and support ends where they begin.
Evidence it needs: the VM's flags with their origin, or the command line.
False alarms: a flag that was set with reason; this is a remark, never the cause by itself.
Rivals excluded: a flag at its default, or set by the JVM itself.
What to do: take the flag away and see whether the crash stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.model import Finding, Report
from postmortem.model.queries.paths import proof
from postmortem.model.queries.patterns import Lazy
from postmortem.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postmortem.model import Jvm

_RISKY: dict[tuple[str, str], str] = {
    ("BytecodeVerificationRemote", "false"): "classes are not verified: broken bytecode crashes the VM",
    ("BytecodeVerificationLocal", "true"): "costs time and is not the default; harmless",
    ("AllowUserSignalHandlers", "true"): "handlers of the application may take the VM's own signals",
    ("UseSignalChaining", "false"): "handlers that libjsig was to chain are not called",
    ("ReduceSignalUsage", "true"): "the VM gives signals away to the application",
    ("UnlockExperimentalVMOptions", "true"): "opens flags that are not fit for production",
    ("DisableAttachMechanism", "true"): "jcmd, jstack and jmap can't be used on this process",
    ("DisableExplicitGC", "true"): "System.gc() does nothing, on which freeing direct memory relies",
    ("UseLargePagesInMetaspace", "true"): "was removed for its bugs",
    ("AggressiveOpts", "true"): "switched on unfinished optimizations, and is gone since JDK 12",
    ("EagerJVMCI", "true"): "starts an experimental compiler",
    ("UseJVMCICompiler", "true"): "an experimental compiler replaces C2",
    ("StackShadowPages", "0"): "native code has no room on Java stacks",
    ("UsePerfData", "false"): "jps and jstat can't see this process",
    ("MaxGCPauseMillis", "0"): "no collector can meet it",
}
_HARMLESS = frozenset(("BytecodeVerificationLocal", "UsePerfData", "DisableAttachMechanism"))
_SWITCH = Lazy(r"-XX:([+-])(\w+)")
_SHORT = {
    "-Xverify:none": ("BytecodeVerificationRemote", "false"),
    "-noverify": ("BytecodeVerificationRemote", "false"),
    "-Xrs": ("ReduceSignalUsage", "true"),
}
_MOST = 8


def check(report: Report) -> Iterator[Finding]:
    """At most one finding for all flags."""
    jvm = report.jvm
    if jvm is None:
        return
    found = [
        (f"jvm.flags[{index}].value", flag.name, _RISKY[flag.name, flag.value])
        for index, flag in enumerate(jvm.flags)
        if (flag.name, flag.value) in _RISKY
        and flag.name not in _HARMLESS
        and (flag.origin or "").startswith(("command line", "environment", "config"))
    ]
    if not jvm.flags:
        found += _on_command_line(jvm)
    values = {flag.name: (index, flag.value) for index, flag in enumerate(jvm.flags)}
    if "MaxHeapSize" in values and "InitialHeapSize" in values:
        maximum, initial = values["MaxHeapSize"], values["InitialHeapSize"]
        if maximum[1].isdigit() and initial[1].isdigit() and int(initial[1]) > int(maximum[1]):
            found.append((f"jvm.flags[{initial[0]}].value", "InitialHeapSize", "is larger than MaxHeapSize"))
    if not found:
        return
    names = ", ".join(name for _, name, _ in found[:_MOST])
    yield Finding(
        rule=RULE.id,
        title=f"Risky VM flags: {names}",
        severity="low",
        confidence="certain",
        claim="observation",
        explanation="; ".join(f"{name}: {why}" for _, name, why in found[:_MOST]) + ".",
        evidence=proof(report, *((where, f"{name}: {why}") for where, name, why in found[:_MOST])),
        remedies=("Run without these flags. If the crash goes away, the flag is the lead to follow.",),
    )


def _on_command_line(jvm: Jvm) -> Iterator[tuple[str, str, str]]:
    """From the arguments: logs of JDK 8 list no flags."""
    for index, argument in enumerate(jvm.arguments):
        setting = _SHORT.get(argument)
        if match := _SWITCH.fullmatch(argument):
            setting = (match[2], "true" if match[1] == "+" else "false")
        if setting in _RISKY and setting[0] not in _HARMLESS:
            yield f"jvm.arguments[{index}]", setting[0], _RISKY[setting]


RULE = Rule(id="jvm-risky-flags", group="jvm", specificity=8, check=check, documentation=__doc__ or "")
