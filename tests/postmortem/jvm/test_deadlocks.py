"""Deadlocks that jstack prints none of: of class initializers, and of virtual threads."""

from __future__ import annotations

import json
import re

import pytest

from tests.postmortem.jvm import check, corpus

pytestmark = pytest.mark.jdk

_WAITING = re.compile(
    r'^"(?P<name>[^"]+)".*\n(?:[ \t]\S.*\n|   .*\n)*?'
    r"\t- waiting on the Class initialization monitor for (?P<class>\S+)$",
    re.MULTILINE,
)


@pytest.mark.parametrize(("jdk", "kind"), corpus.pairs(["deadlock-class-init"], jdks=corpus.JUDGED_ON))
def test_class_initializers_wait_for_one_another(jdk: int, kind: str) -> None:
    place = corpus.case(jdk, kind)
    report = check.report_of(place)
    prices, taxes = (f"initialization of crash.Initializers${name}" for name in ("Prices", "Taxes"))
    (deadlock,) = report["jvm"]["deadlocks"]
    assert {(member["name"], member["waiting_for"], member["held_by"]) for member in deadlock["threads"]} == {
        ("loads-prices", taxes, "loads-taxes"),
        ("loads-taxes", prices, "loads-prices"),
    }
    waits = {
        thread["java"]["name"]: thread["java"]["blocked_on"]
        for thread in report["threads"]
        if thread["java"] is not None and (thread["java"]["blocked_on"] or "").startswith("initialization")
    }
    assert waits == {"loads-prices": taxes, "loads-taxes": prices, "waits-for-prices": prices}
    dump = check.told(place, "Thread.print")
    assert dump is not None
    # The dumps of 8 and 11 do not say what these threads wait for.
    told = {match["name"]: f"initialization of {match['class']}" for match in _WAITING.finditer(dump)}
    assert told == (waits if jdk >= 17 else {})


@pytest.mark.parametrize(("jdk", "kind"), corpus.pairs(["deadlock-virtual"], jdks=corpus.JUDGED_ON))
def test_virtual_threads_wait_for_one_another(jdk: int, kind: str) -> None:
    place = corpus.case(jdk, kind)
    report = check.report_of(place)
    told = json.loads((place / "jcmd" / "Thread.dump_to_file.json").read_text(encoding="utf-8"))
    threads = [thread for part in told["threadDump"]["threadContainers"] for thread in part["threads"]]
    by_tid = {int(thread["tid"]): thread for thread in threads}
    names = {thread["name"] for thread in threads if thread["name"].startswith(("virtual-", "platform-"))}
    assert len(names) == 6
    members = {member["name"]: member for deadlock in report["jvm"]["deadlocks"] for member in deadlock["threads"]}
    assert len(report["jvm"]["deadlocks"]) == 3 and set(members) == names
    groups = {group["java_tid"]: group for group in report["jvm"]["virtual_threads"]}
    for name, member in members.items():
        if name.startswith("platform-"):
            continue
        thread, group = by_tid[member["java_tid"]], groups[member["java_tid"]]
        assert (thread["name"], member["tid"], group["count"]) == (name, None, 1)
        assert (group["blocked_on"], group["blocked_by"]) == (member["waiting_for"], member["held_by"])
        # The dump has identity hashes where we have addresses, and the owners of monitors where these stand.
        blocker = thread.get("parkBlocker", {"object": thread.get("blockedOn"), "owner": None})
        owner = blocker["owner"] or next(
            other["tid"]
            for other in threads
            for owned in other.get("monitorsOwned", ())
            if blocker["object"] in owned["locks"]
        )
        assert member["held_by"] == by_tid[int(owner)]["name"]
        assert member["waiting_for"].split("@")[0] == blocker["object"].split("@")[0]
