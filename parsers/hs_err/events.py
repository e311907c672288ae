"""Event rings (utilities/events.cpp). Each is `Name (N events):`, its entries `Event: seconds text`, or `No
events`."""

from __future__ import annotations

import re

from parsers.hs_err.model import Event, EventRing
from parsers.hs_err.reader import HEX, MAX_ITEMS, Draft, Section, address

_HEADING = re.compile(r"(\S.{0,78}?) \((\d{1,9}) events\):")
_EVENT = re.compile(rf"Event: (-?\d{{1,12}}(?:\.\d{{1,9}})?) (?:Thread ({HEX}) )?(.*)")
_DETAIL = re.compile(
    r"[{}|]|[ \t]+\S.*[\d\[:]|thrown |\s{0,8}(?:Heap |Metaspace|Metadata|Z[A-Z]|Shenandoah|Generational)|"
    r"[A-Z][\w ]{1,60}: ?\d"
)


class EventsSection(Section):
    """All rings, in the log's order."""

    headings = (("ring", r"[A-Za-z][\w ()/-]{1,78}? \(\d{1,9} events\):"),)

    def __init__(self) -> None:
        self.rings: list[Draft[EventRing]] = []
        self._event: Draft[Event] | None = None
        self._several = False

    def open(self, name: str, text: str) -> bool:
        """A new ring."""
        m = _HEADING.match(text)
        if not m or len(self.rings) >= 1000:
            return False
        ring = Draft(EventRing)
        ring.put(name=m[1], count=int(m[2]))
        ring.values["events"] = []
        self.rings.append(ring)
        self._event, self._several = None, "History" in m[1]
        return True

    def feed(self, name: str, text: str) -> bool:
        """An entry, or a further line of the last one."""
        if self._entry(text):
            return True
        if text.strip() in ("No events", "No events.") or text.startswith("[...some events were"):
            return True
        if self._event is None:
            return False
        text_so_far = str(self._event.values.get("text"))
        message = "Exception <" in text_so_far and "> (0x" not in text_so_far
        return (message or _DETAIL.match(text) is not None) and self._event.add("details", text)

    def any(self, text: str) -> bool:
        """Entries tell themselves; without a heading they belong to a ring without a count."""
        if not text.startswith("Event: "):
            return False
        if not self.rings:
            ring = Draft(EventRing)
            ring.values.update(name="", count=None, events=[])
            self.rings.append(ring)
        return self._entry(text)

    def _entry(self, text: str) -> bool:
        m = _EVENT.match(text)
        if not m or not self.rings:
            return False
        event = Draft(Event, MAX_ITEMS // 16)
        event.put(time=float(m[1]), thread=address(m[2]) if m[2] else None, text=m[3].rstrip())
        self._event = event
        return self.rings[-1].add("events", event)

    def blank(self) -> None:
        """An entry ends, unless it has the whole heap in it."""
        if not self._several:
            self._event = None

    def make(self) -> tuple[EventRing, ...]:
        """The rings."""
        return tuple(ring.make() for ring in self.rings)

    def cut(self) -> set[str]:
        """See Section."""
        return {f"events of {r.values['name']}" for r in self.rings if r.cut}
