"""Records of crashes for tests."""

from __future__ import annotations

import hashlib
from typing import Any

from postmortem.model import Signature
from postmortem.model.triage import Crash, Step


def crash(cause: str = "null+0x40", *functions: str | Step, **rest: Any) -> Crash:
    """A crash whose signature is made of its cause and its first two functions; functions may have lines."""
    steps = tuple(item if isinstance(item, Step) else Step(name=item) for item in functions or ("total", "checkout"))
    frames = tuple(step.name for step in steps[:2])
    text = " | ".join((cause, *frames))
    signature = Signature(
        id=hashlib.sha1(text.encode()).hexdigest(),
        frames=frames,
        text=text,
        cause=cause,
        version=2,
        exact=rest.pop("exact", None),
        incomplete=rest.pop("incomplete", None),
    )
    number = rest.pop("number", 0)
    identity = rest.pop("id", None) or hashlib.sha256(f"{text}{number}{sorted(rest.items())}".encode()).hexdigest()[:40]
    values: dict[str, Any] = {"path": f"/cores/{identity}", "report": f"reports/{identity}.json", "kind": "core"}
    values |= {"program": "shop", "title": text, "severity": "critical", "rule": "null-dereference"}
    return Crash(id=identity, signature=signature, steps=steps, **(values | rest))
