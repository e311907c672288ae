"""P R O C E S S but for heap, code, events and libraries (Threads::print_on_error,
Mutex::print_owned_locks_on_error, CompressedOops::print_mode, CompressedKlassPointers::print_mode,
AOTMetaspace/MetaspaceShared::print_on)."""

from __future__ import annotations

import re

from parsers.hs_err.model import CompressedPointers, ExceptionCount, Mutex, Process, Range, Setting
from parsers.hs_err.reader import HEX, Draft, Section, address, first, rule
from parsers.hs_err.thread import compile_task, thread_line

_ADDRESSES = re.compile(rf"{HEX}(?:, ?{HEX}){{0,63}},?\s*$")
_MUTEX = re.compile(rf"\s*\[({HEX})\] (.{{1,200}}?) - owner thread: ({HEX})\s*$")
_LOADER = re.compile(r"(Loader|Class) (\S.{0,500}?) *: +(\d.*|loaded \d.*)")
_COUNTS = re.compile(r"(\w[\w ]{0,80}?)=(\d{1,12})\s*$")
_PAIRS = re.compile(r"\b(_\w{1,60})=([^,\s]+)")


class ProcessSection(Section):
    """Threads and the state of the VM."""

    headings = (
        ("smr", r"Threads class SMR info:"),
        ("java", r"Java Threads:"),
        ("other", r"Other Threads:"),
        ("tasks", r"Threads with active compile tasks:"),
        ("state", r"VM state: ?"),
        ("locks", r"VM Mutex/Monitor currently owned"),
        ("counts", r"OutOfMemory and StackOverflow Exception counts:"),
        ("user", r"uid  ?:|umask:"),
        ("references", r"JNI global refs"),
        ("loaders", r"Classloader memory used:|Classes loaded by more than one classloader:"),
    )

    def __init__(self) -> None:
        self.facts = Draft(Process)

    def open(self, name: str, text: str) -> bool:
        """VM state is a fact of one line."""
        if name in ("java", "other"):
            return self.facts.put(threads_shown=True)
        if name == "state":
            state = text[len("VM state:") :].strip()
            return bool(state) and self.facts.put(vm_state=state)
        if name == "references":
            pairs = re.findall(r"\b([A-Za-z][A-Za-z ]{1,40}): (\d{1,18})", text)
            return self.facts.add("jni_references", *(Setting(name=k, value=v) for k, v in pairs))
        if name == "user":
            pairs = re.findall(r"\b(\w{1,30}) {0,3}: ?(\w+(?: \([\w-]{1,20}\))?)", text)
            return self.facts.add("user", *(Setting(name=k, value=v) for k, v in pairs))
        return True

    def feed(self, name: str, text: str) -> bool:
        """By section."""
        if name == "smr":
            return self._smr(text)
        if name in ("java", "other"):
            return self._thread(name, text)
        if name == "tasks":
            task = compile_task(text)
            return (task is not None and self.facts.add("compile_tasks", task)) or text.startswith("Total: ")
        if name == "loaders":
            m = _LOADER.match(text)
            return m is not None and self.facts.add("loaders", Setting(name=m[2], value=m[3].strip(), group=m[1]))
        if name == "locks":
            return self._mutex(text)
        if name == "counts":
            m = _COUNTS.match(text)
            return m is not None and self.facts.add("exception_counts", ExceptionCount(name=m[1], count=int(m[2])))
        return False

    def any(self, text: str) -> bool:
        """Thread lines tell themselves; so does an SMR list."""
        if "JavaThread" in text or text.startswith("=>0x"):
            return self._thread("other" if "JavaThread" not in text else "java", text)
        return text.startswith("_java_thread_list") and self._smr(text)

    def _thread(self, into: str, text: str) -> bool:
        if text.startswith("Total: ") and text[7:].strip().isdecimal() and len(text) < 20:
            return self.facts.put(**{f"{into}_thread_total": int(text[7:])})
        if text.startswith("[error occurred"):
            return False
        thread = thread_line(text)
        return thread is not None and self.facts.add(f"{into}_threads", thread)

    def _smr(self, text: str) -> bool:
        if _ADDRESSES.match(text):
            return self.facts.add("thread_list", *(address(a) for a in re.findall(HEX, text)))
        m = re.match(rf"_java_thread_list=({HEX}), length=(\d{{1,9}}), elements={{", text)
        if m:
            return self.facts.put(java_thread_list=address(m[1]), thread_list_length=int(m[2]))
        if text.startswith("_"):
            pairs = _PAIRS.findall(text)
            return bool(pairs) and self.facts.add("smr", *(Setting(name=k, value=v) for k, v in pairs))
        return text.strip() in ("}", "},") or text.startswith(("next-> ", "<"))

    def _mutex(self, text: str) -> bool:
        m = _MUTEX.match(text)
        return m is not None and self.facts.add(
            "mutexes", Mutex(address=address(m[1]), name=m[2].strip(), owner=address(m[3]))
        )

    def cut(self) -> set[str]:
        """See Section."""
        return self.facts.cut


class PointersSection(Section):
    """Where heap, archive and class space lie; every line stands by itself."""

    headings = (
        ("line", r"[Hh]eap address:"),
        ("line", r"CDS archive\(s\)|AOT cache|CDS disabled|CDS archive"),
        ("line", r"Compressed class space"),
        ("line", r"Narrow klass"),
        ("line", r"Use(?:CompressedClassPointers|CompactObjectHeaders) \d"),
        (
            "line",
            r"(?:Encoding [Rr]ange|Klass Range|Klass ID Range|Protection zone|No protection zone)\b",
        ),
        ("line", r"narrow_oop_|Metaspace base:"),
    )

    def __init__(self) -> None:
        self.facts = Draft(CompressedPointers)
        put = self.facts.put
        self._rules = (
            rule(
                rf"[Hh]eap address: ({HEX}), size: (\d{{1,12}}) MB(?:, Compressed Oops mode: (.*))?",
                lambda m: put(heap_address=address(m[1]), heap_size=int(m[2]) << 20, oops_mode=m[3] and m[3].strip()),
            ),
            rule(
                rf"(?:CDS archive\(s\)|AOT cache\S*|CDS archive) .*?\[({HEX})-{HEX}-({HEX})\)",
                lambda m: put(archive=Range(start=address(m[1]), end=address(m[2])), archive_text=m.string),
            ),
            rule(r"(?:CDS|AOT) ", lambda m: put(archive_text=m.string)),
            rule(
                rf"Compressed class space mapped at: ({HEX})-({HEX}), reserved size: (\d{{1,20}})",
                lambda m: put(class_space=Range(start=address(m[1]), end=address(m[2])), class_space_size=int(m[3])),
            ),
            rule(
                rf"Compressed class space size: (\d{{1,20}}) Address: ({HEX})",
                lambda m: put(
                    class_space_size=int(m[1]),
                    class_space=Range(start=address(m[2]), end=address(m[2]) + int(m[1])),
                ),
            ),
            rule(
                rf"Narrow klass base: ({HEX}|\(?nil\)?), Narrow klass shift: (\d{{1,3}})(?:, (.*?): (.*))?$",
                self._narrow,
            ),
            rule(r"Use\w{1,40} \d", self._words),
            rule(r"Narrow klass pointer bits ", self._words),
            rule(r"([A-Z][\w ]{1,40}): +(.+)", lambda m: self._setting(m[1], m[2])),
            rule(r"(No protection zone|UseCompressed\w+.*)", lambda m: self._setting(m[1], "")),
        )

    def open(self, name: str, text: str) -> bool:
        """Each line is its own heading."""
        return first(self._rules, text)

    def feed(self, name: str, text: str) -> bool:
        """Nothing belongs below."""
        return False

    def _setting(self, name: str, value: str) -> bool:
        return self.facts.add("settings", Setting(name=name, value=value.strip()))

    def _narrow(self, m: re.Match[str]) -> bool:
        base = address(m[1]) if m[1].startswith("0x") else 0
        if m[3]:
            self._setting(m[3], m[4])
        return self.facts.put(narrow_klass_base=base, narrow_klass_shift=int(m[2]))

    def _words(self, m: re.Match[str]) -> bool:
        """`Name value, Name value`."""
        for part in m.string.split(","):
            name, _, value = part.strip().rpartition(" ")
            self._setting(name, value)
        return True

    def cut(self) -> set[str]:
        """See Section."""
        return self.facts.cut
