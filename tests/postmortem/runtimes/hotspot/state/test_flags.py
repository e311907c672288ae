from __future__ import annotations

import pytest

from postmortem.runtimes.hotspot.vm.arguments import arguments
from postmortem.runtimes.hotspot.vm.flags import flags
from tests.postmortem.runtimes.hotspot.state.vm import FakeVm


def _newer(vm: FakeVm, rows: list[tuple[str, int, str, float, int]]) -> None:
    """JVMFlag as of JDK 17: _addr, _name, _flags, _type; a last entry has no name."""
    vm.instance(JVMFlag___addr=0, JVMFlag___name=8, JVMFlag___flags=16)
    vm.instance(JVMFlag___type=20)
    vm.fields["JVMFlag", "_type"] = vm.fields["JVMFlag", "_type"]._replace(type_string="int")
    vm.sizes["JVMFlag"] = 24
    table = vm.room(24 * (len(rows) + 1))
    for index, (name, kind, layout, value, bits) in enumerate(rows):
        place = vm.room(8)
        vm.put(place, layout, value)
        vm.put(table + 24 * index, "QQII", place, vm.text(name), bits, kind)
    vm.static("JVMFlag.flags", table)
    vm.static("JVMFlag.numFlags", len(rows) + 1)


@pytest.mark.parametrize(
    ("kind", "layout", "value", "shown"),
    [
        (0, "B", 1, "true"),
        (0, "B", 0, "false"),
        (1, "i", -1, "-1"),
        (2, "I", 2**32 - 1, "4294967295"),
        (3, "q", -5, "-5"),
        (4, "Q", 2**64 - 1, "18446744073709551615"),
        (6, "Q", 1 << 20, "1048576"),
        (7, "d", 1.5625, "1.562500"),
        (8, "Q", 0, ""),
    ],
)
def test_values_read_as_jcmd_prints_them(kind: int, layout: str, value: float, shown: str) -> None:
    vm = FakeVm()
    _newer(vm, [("Flag", kind, layout, value, 0)])
    found, problems = flags(vm.reading())
    assert [(flag.name, flag.value, flag.origin) for flag in found] == [("Flag", shown, "default")]
    assert not problems


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0, "default"),
        (1 | 1 << 17, "command line"),
        (5, "ergonomic"),
        (5 | 1 << 17, "command line, ergonomic"),
        (8, "jimage"),
        (15, None),
    ],
)
def test_origin(bits: int, words: str | None) -> None:
    vm = FakeVm()
    _newer(vm, [("Flag", 0, "B", 1, bits)])
    assert flags(vm.reading())[0][0].origin == words


def test_type_by_name_before_jdk_17() -> None:
    vm = FakeVm()
    vm.instance(Flag___type=0, Flag___name=8, Flag___addr=16, Flag___flags=24)
    vm.sizes["Flag"] = 32
    value, table = vm.room(8), vm.room(64)
    vm.put(value, "Q", vm.text("a b"))
    vm.put(table, "QQQI", vm.text("ccstr"), vm.text("Name"), value, 5)
    vm.static("Flag.flags", table)
    vm.static("Flag.numFlags", 2)
    found, problems = flags(vm.reading())
    assert [(flag.name, flag.value, flag.origin) for flag in found] == [("Name", "a b", "ergonomic")]
    assert not problems


def test_an_unknown_type_is_counted_and_left_out() -> None:
    vm = FakeVm()
    _newer(vm, [("Good", 0, "B", 1, 0), ("Odd", 77, "B", 1, 0)])
    found, problems = flags(vm.reading())
    assert [flag.name for flag in found] == ["Good"]
    assert "1 of 3" in problems[0].what


def test_absurd_count_and_missing_table_are_problems() -> None:
    vm = FakeVm()
    _newer(vm, [])
    vm.static("JVMFlag.numFlags", 1 << 40)
    assert flags(vm.reading())[0] == ()
    assert "plausible" in flags(vm.reading())[1][0].what
    assert flags(FakeVm().reading())[1]


def test_arguments() -> None:
    vm = FakeVm()
    array = vm.room(16)
    vm.put(array, "QQ", vm.text("-Xmx64m"), vm.text("-Da=b c"))
    vm.static("Arguments._num_jvm_args", 2, "I")
    vm.static("Arguments._jvm_args_array", array)
    vm.static("Arguments._num_jvm_flags", 0, "I")
    vm.static("Arguments._jvm_flags_array", 0)
    vm.static("Arguments._java_command", vm.text("Main x"))
    found, problems = arguments(vm.reading())
    assert found.arguments == ("-Xmx64m", "-Da=b c")
    assert found.flags == ()
    assert found.java_command == "Main x"
    assert not problems


def test_arguments_that_can_not_be_read_are_problems() -> None:
    vm = FakeVm()
    vm.static("Arguments._num_jvm_args", 3, "I")
    vm.static("Arguments._jvm_args_array", 0x1000)
    found, problems = arguments(vm.reading())
    assert found.arguments == ()
    assert found.java_command is None
    assert len(problems) == 2
