"""The report: one tree of frozen values, from which every output is made.

JSON is its faithful form: addresses are "0x…" strings, sizes and counts integers (bytes unless the name
says otherwise), a fact that can't be had is null and its reason is in `problems`. A reader must expect
any fact to be absent. `schema_version` changes when a name changes its meaning.
"""

from __future__ import annotations

from postmortem.model.address import Address
from postmortem.model.finding import Claim, Confidence, Evidence, Finding, Severity, Verdict
from postmortem.model.host import Host
from postmortem.model.jvm import (
    Compilation,
    Deadlock,
    DeadlockMember,
    DirectMemory,
    Event,
    EventLog,
    FailedThread,
    Flag,
    HeapSpace,
    HistogramEntry,
    Jvm,
    SignalHandler,
    VirtualThread,
    VmError,
)
from postmortem.model.process import (
    Crash,
    Hardening,
    Mapping,
    Memory,
    Module,
    ModuleCandidate,
    Operand,
    Process,
    Signal,
)
from postmortem.model.report import (
    SCHEMA_VERSION,
    Core,
    LimitsReached,
    NativeFacts,
    Problem,
    Reached,
    Report,
    Signature,
    Tool,
    from_json,
    json_schema,
    to_json,
)
from postmortem.model.thread import (
    NO_NATIVE_FRAMES,
    Cycle,
    Frame,
    JavaThread,
    RegisterNote,
    SourceLine,
    Thread,
    Value,
    Wait,
)

__all__ = [
    "NO_NATIVE_FRAMES",
    "SCHEMA_VERSION",
    "Address",
    "Claim",
    "Compilation",
    "Confidence",
    "Core",
    "Crash",
    "Cycle",
    "Deadlock",
    "DeadlockMember",
    "DirectMemory",
    "Event",
    "EventLog",
    "Evidence",
    "FailedThread",
    "Finding",
    "Flag",
    "Frame",
    "Hardening",
    "HeapSpace",
    "HistogramEntry",
    "Host",
    "JavaThread",
    "Jvm",
    "LimitsReached",
    "Mapping",
    "Memory",
    "Module",
    "ModuleCandidate",
    "NativeFacts",
    "Operand",
    "Problem",
    "Process",
    "Reached",
    "RegisterNote",
    "Report",
    "Severity",
    "Signal",
    "SignalHandler",
    "Signature",
    "SourceLine",
    "Thread",
    "Tool",
    "Value",
    "Verdict",
    "VirtualThread",
    "VmError",
    "Wait",
    "from_json",
    "json_schema",
    "to_json",
]
