"""The crashing thread's frames equal those of the hs_err log that the JVM wrote of the same crash."""

from __future__ import annotations

import pytest

from tests.postmortem.jvm import check, compare, corpus

pytestmark = pytest.mark.jdk

EACH = corpus.pairs(corpus.LOGGED)


@pytest.mark.parametrize(("jdk", "kind"), EACH)
def test_the_fault_is_the_log_s(jdk: int, kind: str) -> None:
    place = corpus.case(jdk, kind)
    log = check.log_of(place)
    assert log is not None and log.tid is not None
    assert not compare.crash_identity(check.report_of(place), log)


@pytest.mark.parametrize(("jdk", "kind"), EACH)
def test_java_frames_equal_the_log_s(jdk: int, kind: str) -> None:
    place = corpus.case(jdk, kind)
    log = check.log_of(place)
    assert log is not None
    told = [frame for frame in log.java or log.native if frame.kind in ("j", "J")]
    in_java_thread = not kind.startswith(("compiler-", "gc-")) or log.processed is not None
    assert bool(told) == in_java_thread, "the log tells no Java frames"
    assert not compare.crash_java_frames(check.report_of(place), log)


@pytest.mark.parametrize(("jdk", "kind"), EACH)
def test_native_frames_of_the_log_are_among_ours(jdk: int, kind: str) -> None:
    place = corpus.case(jdk, kind)
    log = check.log_of(place)
    assert log is not None and log.native
    assert not compare.crash_native_frames(check.report_of(place), log)


@pytest.mark.parametrize(("jdk", "kind"), EACH)
def test_threads_are_named_as_in_the_log(jdk: int, kind: str) -> None:
    place = corpus.case(jdk, kind)
    log = check.log_of(place)
    assert log is not None and len(log.threads) > 5
    assert not compare.log_threads(check.report_of(place), log)


@pytest.mark.parametrize(("jdk", "kind"), corpus.pairs(corpus.UNLOGGED))
def test_java_frames_above_a_native_method_without_a_log(jdk: int, kind: str) -> None:
    """The same method crashes with a log in the kind `jni`; its Java frames are the same."""
    log = check.log_of(corpus.case(jdk, "jni"))
    assert log is not None and log.java
    report = check.report_of(corpus.case(jdk, kind))
    assert not compare.native_method_frames(report, log.java)


@pytest.mark.parametrize(("jdk", "kind"), corpus.pairs([*corpus.LOGGED, *corpus.UNLOGGED, *corpus.ASKED]))
def test_every_walk_reaches_the_bottom(jdk: int, kind: str) -> None:
    assert not compare.walks(check.report_of(corpus.case(jdk, kind)))


@pytest.mark.parametrize("jdk", [21, 25, 27])
def test_frames_of_a_resumed_virtual_thread_that_are_still_in_the_heap(jdk: int) -> None:
    """The log's walker steps over them."""
    place = corpus.case(jdk, "jni-virtual")
    log = check.log_of(place)
    assert log is not None and log.java
    thread = check.report_of(place)["threads"][0]
    functions = [compare.plain(frame["function"] or "?") for frame in thread["frames"] if frame["kind"] in compare.JAVA]
    top = functions.index("crash.Virtual.descend")
    assert functions[top - 1] == "crash.Library.parse"
    assert functions[top : top + 7] == ["crash.Virtual.descend"] * 7
    assert [frame.name for frame in log.java].count("crash.Virtual.descend") < 7
    assert functions[top + 7 : top + 8] == ["crash.Virtual.lambda$main$0"]
    assert "jdk.internal.vm.Continuation.enterSpecial" in functions[top + 8 :]
    assert thread["frames"][-1]["kind"] == "native"


@pytest.mark.parametrize(("jdk", "kind"), corpus.pairs(["entry-barrier"], jdks=corpus.JUDGED_ON))
def test_a_method_that_was_being_entered(jdk: int, kind: str) -> None:
    """The log's walker takes the barrier's mark for a return address and loses the method."""
    report = check.report_of(corpus.case(jdk, kind))
    assert not compare.walks(report)
    barrier, entered, caller = report["threads"][0]["frames"][1:4]
    assert (barrier["function"], barrier["kind"]) == ("method_entry_barrier", "stub")
    assert (entered["kind"], entered["bci"]) == ("java-compiled", None)
    assert caller["kind"] in (*compare.JAVA, "stub")


@pytest.mark.parametrize(("jdk", "kind"), corpus.pairs(["report-timeout"]))
def test_the_fault_of_one_thread_that_another_ended_the_process_for(jdk: int, kind: str) -> None:
    report = check.report_of(corpus.case(jdk, kind))
    crash, crashed = report["crash"], report["threads"][0]
    taker = next(thread for thread in report["threads"] if thread["tid"] == crash["handler_tid"])
    assert (crash["signal"]["name"], crash["handler_signal"]["name"]) == ("SIGSEGV", "SIGABRT")
    assert (crash["tid"], crashed["name"], taker["name"]) == (crashed["tid"], "main", "VM Periodic Task Thread")
    assert crashed["frames"][0]["function"] == "parent_length"
    assert [thread["tid"] for thread in report["threads"] if thread["crashed"]] == [crash["tid"]]


@pytest.mark.parametrize("jdk", [jdk for jdk in corpus.JUDGED_ON if jdk >= 17])
def test_the_thread_that_found_an_error_when_another_ended_the_process(jdk: int) -> None:
    """An error that the VM found has no signal frame; those of its stack are the reporter's interruptions."""
    report = check.report_of(corpus.case(jdk, "report-timeout-oom"))
    crash, crashed = report["crash"], report["threads"][0]
    taker = next(thread for thread in report["threads"] if thread["tid"] == crash["handler_tid"])
    assert (crashed["name"], taker["name"], crash["unwrapped"]) == ("main", "VM Periodic Task Thread", False)
    assert "crash.Exhaust.heap" in [frame["function"] for frame in crashed["frames"]]


@pytest.mark.parametrize("jdk", [21, 25, 27])
def test_the_virtual_thread_that_a_carrier_carries_is_named(jdk: int) -> None:
    report = check.report_of(corpus.case(jdk, "quiet-g1"))
    carried = {
        thread["java"]["virtual_name"]: thread
        for thread in report["threads"]
        if thread["java"] is not None and thread["java"]["virtual_tid"] is not None
    }
    functions = [frame["function"] for frame in carried["virtual-mounted"]["frames"]]
    assert "crash.Library.block" in functions
