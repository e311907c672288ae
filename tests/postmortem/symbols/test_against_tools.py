"""Names of random addresses equal gdb's; inlined functions and lines equal those of addr2line."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from postmortem.symbols.demangle import demangle
from postmortem.symbols.sources.source import Places
from postmortem.symbols.symbolizer import SymbolFile, open_symbols

pytestmark = [pytest.mark.corpus, pytest.mark.needs("gdb", "readelf", "addr2line")]

CXX = """
#include <algorithm>
#include <cstdio>
#include <map>
#include <numeric>
#include <string>
#include <vector>
namespace shop {
struct Item { std::string name; double price; };
template <typename T> static inline T twice(T value) { return value + value; }
class Basket {
    std::vector<Item> items;
    std::map<std::string, int> counts;
public:
    void add(const std::string &name, double price) { items.push_back({name, twice(price)}); ++counts[name]; }
    double total() const {
        return std::accumulate(items.begin(), items.end(), 0.0,
                               [](double sum, const Item &item) { return sum + item.price; });
    }
    void sort() { std::sort(items.begin(), items.end(), [](auto &a, auto &b) { return a.name < b.name; }); }
    int count(const std::string &name) const {
        auto found = counts.find(name);
        if (found == counts.end()) throw std::string("none");
        return found->second;
    }
};
}
int main(int argc, char **argv) {
    shop::Basket basket;
    for (int i = 0; i < argc; i++) basket.add(argv[i], i);
    basket.sort();
    try {
        printf("%f %d\\n", basket.total(), basket.count("x"));
    } catch (const std::string &) { puts("none"); }
}
"""
RUST = """
fn main() {
    let mut words: Vec<String> = std::env::args().collect();
    words.sort_by(|a, b| b.len().cmp(&a.len()));
    println!("{:?}", words.iter().map(|word| word.len()).sum::<usize>());
}
"""
SYSTEM = ["/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"]
JVMS = sorted({str(path.resolve()) for path in Path("/usr/lib/jvm").glob("*/lib/server/libjvm.so")})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    (folder / "shop.cpp").write_text(CXX)
    (folder / "words.rs").write_text(RUST)
    subprocess.run(["g++", "-O2", "-g", "-std=c++20", "-o", folder / "shop", folder / "shop.cpp"], check=True)
    fixed = ["-no-pie", "-gz=zlib", "-o", str(folder / "shop-fixed"), str(folder / "shop.cpp")]
    subprocess.run(["g++", "-O2", "-g", "-std=c++20", *fixed], check=True)
    if shutil.which("rustc"):
        command = ["rustc", "-O", "-C", "strip=none", "-o", str(folder / "words"), str(folder / "words.rs")]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def text_addresses(path: Path, count: int) -> list[int]:
    """Random addresses of .text."""
    listing = subprocess.run(["readelf", "-SW", path], capture_output=True, text=True, check=True).stdout
    match = re.search(r"\.text\s+\S+\s+(\w+) \w+ (\w+)", listing)
    assert match is not None
    start, size = int(match[1], 16), int(match[2], 16)
    return [start + offset for offset in random.Random(size).sample(range(size), min(count, size))]


def symbols_of(path: Path, folder: Path) -> SymbolFile:
    symbols = open_symbols(path, None, Places([Path("/usr/lib/debug")]), folder / "cache")
    assert symbols is not None
    return symbols


def gdb_names(path: Path, addresses: list[int], folder: Path) -> list[str | None]:
    """Linkage names by `info symbol`."""
    script = folder / "script.gdb"
    head = ["set width 0", "set debuginfod enabled off", "set print demangle off", f"file {path}"]
    script.write_text("\n".join([*head, *(f"info symbol {address:#x}" for address in addresses)]))
    output = subprocess.run(["gdb", "-batch", "-nx", "-x", script], capture_output=True, text=True, check=True).stdout
    lines = [line for line in output.splitlines() if " in section " in line or line.startswith("No symbol")]
    assert len(lines) == len(addresses)
    return [None if line.startswith("No symbol") else re.sub(r"( \+ \d+)? in section .*", "", line) for line in lines]


def check_names(path: Path, folder: Path) -> None:
    symbols = symbols_of(path, folder)
    addresses = text_addresses(path, 2000)
    wrong = []
    for address, theirs in zip(addresses, gdb_names(path, addresses, folder), strict=True):
        found = symbols.symbol_at(address)
        if theirs is None or found is None:
            if theirs is not None or found is not None:
                wrong.append((hex(address), found, theirs))
        elif found[0] != demangle(theirs) and symbols.address_of(theirs) != found[1]:
            # Aliases of one address are equally right.
            wrong.append((hex(address), found, theirs))
    assert not wrong, (len(wrong), wrong[:5])


@pytest.mark.parametrize("path", SYSTEM)
def test_system_libraries(path: str, tmp_path: Path) -> None:
    if not Path(path).exists():
        pytest.skip(f"no {path}")
    check_names(Path(path), tmp_path)


@pytest.mark.jdk
@pytest.mark.parametrize("path", JVMS)
def test_java_virtual_machines(path: str, tmp_path: Path) -> None:
    check_names(Path(path), tmp_path)


@pytest.mark.parametrize("program", ["shop", pytest.param("words", marks=pytest.mark.needs("rustc"))])
def test_programs(program: str, built: Path, tmp_path: Path) -> None:
    check_names(built / program, tmp_path)


def plain(name: str | None) -> str | None:
    """The last part of a name; addr2line and we write templates' defaults and clones apart."""
    if name is None:
        return None
    name = re.sub(r" \[clone [^]]*\]|\.cold$", "", name)
    name = re.sub(r"operator\(\)", "operator_call", name)
    name = re.sub(r"operator(<=>|<<|>>|->|<=|>=|<|>)", lambda match: "operator_" + match[1].encode().hex(), name)
    previous = None
    while previous != name:
        previous = name
        name = re.sub(r"<[^<>]*>|\([^()]*\)|\{[^{}]*\}|'[^']*'", "", name)
    return re.split(r"::|\s", name.removesuffix(" const").strip())[-1]


def addr2line(path: Path, addresses: list[int]) -> dict[int, list[tuple[str | None, int | None]]]:
    """address → (function, line), innermost inlined one first."""
    output = subprocess.run(
        ["addr2line", "-a", "-i", "-f", "-C", "-e", path],
        input="\n".join(map(hex, addresses)), capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    found: dict[int, list[tuple[str | None, int | None]]] = {}
    rows: list[tuple[str | None, int | None]] = []
    lines = iter(output)
    for function in lines:
        if re.fullmatch(r"0x[0-9a-f]{16}", function):
            rows = found.setdefault(int(function, 16), [])
            continue
        line = next(lines).partition(" (")[0].rpartition(":")[2]
        rows.append((plain(function), int(line) if line.isdigit() and line != "0" else None))
    return found


@pytest.mark.parametrize("program", ["shop", "shop-fixed"])
def test_inlined_functions_and_lines(built: Path, tmp_path: Path, program: str) -> None:
    """Of a program that lies anywhere, and of one linked to a fixed address, whose addresses do not start at 0."""
    path = built / program
    addresses = text_addresses(path, 1 << 20)
    theirs = addr2line(path, addresses)
    for _ in range(2):  # cold, then from the cache
        symbols = symbols_of(path, tmp_path)
        wrong = []
        inlined = 0
        for address in addresses:
            locations = symbols.lookup(address)
            if not locations:
                # Padding between functions, which addr2line counts to the one before.
                assert symbols.symbol_at(address) is None
                continue
            ours = [(plain(location.function), location.line) for location in locations]
            inlined += len(ours) > 1
            assert [location.inlined for location in locations] == [True] * (len(ours) - 1) + [False]
            # We leave out inlined functions to which no line belongs.
            *inner, outermost = theirs[address]
            expected = [*(row for row in inner if row[1] is not None), outermost]
            # addr2line at times gives the innermost inlined function the name of the outermost one.
            if expected[0][0] == outermost[0] and len(expected) > 1:
                expected[0] = (ours[0][0], expected[0][1])
            # Its demangler may be older than the compiler (constraints of C++20).
            if len(ours) == len(expected):
                pairs = zip(ours, expected, strict=True)
                expected = [(our[0] if (row[0] or "").startswith("_Z") else row[0], row[1]) for our, row in pairs]
            if ours != expected:
                wrong.append((hex(address), ours, theirs[address]))
        assert inlined > 1000
        assert not wrong, (len(wrong), wrong[:5])
    assert {path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()} == {
        ".sym",
        ".symcache",
    }


def test_a_damaged_line_cache_is_made_again(built: Path, tmp_path: Path) -> None:
    path = built / "shop"
    address = symbols_of(path, tmp_path).address_of("main")
    assert address is not None
    right = symbols_of(path, tmp_path).lookup(address)
    assert right[-1].line is not None
    assert symbols_of(path, tmp_path).lookup(-1) == symbols_of(path, tmp_path).lookup(1 << 64) == ()
    (kept,) = (tmp_path / "cache").rglob("*.symcache")
    whole = kept.read_bytes()
    dice = random.Random(5)
    for _ in range(20):
        damaged = bytearray(whole)
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        kept.write_bytes(damaged[: dice.choice([len(damaged), dice.randrange(len(damaged))])])
        assert symbols_of(path, tmp_path).lookup(address) == right
        assert kept.read_bytes() == whole
