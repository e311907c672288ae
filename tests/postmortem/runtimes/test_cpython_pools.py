"""Free blocks of CPython's allocator: pools made up, and an extension that keeps an object without a reference."""

from __future__ import annotations

import struct
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import postmortem
from postmortem.program.memory import AddressSpace, Piece
from postmortem.runtimes.cpython.pools import freed

POOL = 0x7F1200004000
BLOCK = 64


def pool(
    free: int, offset: int, size: int = 1 << 14, links: dict[int, int] | None = None, **words: int
) -> AddressSpace:
    """free: the first free block; offset: of the first that was never given out; links: the first words of blocks."""
    kind = words.get("kind", BLOCK // 16 - 1)
    head = struct.pack("<QQQQIIII", 3, free, POOL, POOL, 0, kind, offset, words.get("last", size - BLOCK))
    data = bytearray(head.ljust(size, b"\0"))
    for block, link in (links or {}).items():
        struct.pack_into("<Q", data, block - POOL, link)
    return AddressSpace([Piece(POOL, POOL + size, bytes(data), 0)])


def at(index: int) -> int:
    return POOL + 48 + BLOCK * index


FREE = {at(2): at(4), at(4): 0, at(1): 5, at(5): at(3) + 8, at(6): at(1)}
END = 48 + BLOCK * 8


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (at(2) + 8, True),
        (at(4), True),
        (at(1) + 8, False),  # a count of references
        (at(5), False),  # a pointer that is no block's beginning
        (at(6), True),  # the list does not lead to it
        (at(6) + 16, False),  # links of the garbage collector may lie before an object
        (at(9), True),  # never given out
        (POOL + 8, False),
    ],
)
def test_blocks(address: int, expected: bool) -> None:
    assert freed(pool(at(2), END, links=FREE), address) == expected


def test_older_pools_are_smaller() -> None:
    assert freed(pool(at(2), END, 1 << 12, FREE), at(4))


def test_what_is_no_pool() -> None:
    assert not freed(pool(at(2), END, links=FREE, kind=40), at(4))
    assert not freed(pool(at(2), END, links=FREE, last=5), at(4))
    assert not freed(AddressSpace([]), at(4))


def test_a_list_that_leads_back_to_itself_ends() -> None:
    assert not freed(pool(at(2), END, links={at(2): at(4), at(4): at(2), at(1): 7}), at(1))


EXTENSION = """
#include <Python.h>
struct peer { long id; };
typedef struct { PyObject_HEAD struct peer *volatile peer; } Link;
static struct peer known = {7};
static Link *kept;
static PyObject *make(PyTypeObject *type, PyObject *args, PyObject *names)
{
    Link *link = (Link *)type->tp_alloc(type, 0);
    link->peer = &known;
    return (PyObject *)link;
}
static void destroy(Link *link) { link->peer = NULL; Py_TYPE(link)->tp_free((PyObject *)link); }
static PyTypeObject type = {
    PyVarObject_HEAD_INIT(0, 0).tp_name = "ring.Link", .tp_basicsize = sizeof(Link), .tp_new = make,
    .tp_flags = Py_TPFLAGS_DEFAULT, .tp_dealloc = (destructor)destroy,
};
static PyObject *keep(PyObject *self, PyObject *given) { kept = (Link *)given; Py_RETURN_NONE; } /* no reference */
static PyObject *cut(PyObject *self, PyObject *none) { kept->peer = NULL; Py_RETURN_NONE; }
static PyObject *peer(PyObject *self, PyObject *none) { return PyLong_FromLong(kept->peer->id); }
static PyMethodDef methods[] = {
    {"keep", keep, METH_O, 0}, {"cut", cut, METH_NOARGS, 0}, {"peer", peer, METH_NOARGS, 0}, {0},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "ring", 0, -1, methods};
PyMODINIT_FUNC PyInit_ring(void)
{
    PyObject *made = PyModule_Create(&module);
    PyType_Ready(&type);
    PyModule_AddObject(made, "Link", (PyObject *)&type);
    return made;
}
"""


@pytest.mark.corpus
@pytest.mark.needs("gcc")
@pytest.mark.parametrize(("deed", "rule"), [("del link", "use-after-free"), ("ring.cut()", "null-dereference")])
def test_a_null_member_of_an_object_of_an_extension(deed: str, rule: str, tmp_path: Path) -> None:
    include = Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").exists():
        pytest.skip("needs CPython's headers")
    (tmp_path / "ring.c").write_text(EXTENSION)
    (tmp_path / "run.py").write_text(f"import ring\nlink = ring.Link()\nring.keep(link)\n{deed}\nring.peer()\n")
    command = ["gcc", "-w", "-O1", "-g", "-shared", "-fPIC", f"-I{include}", "ring.c", "-o", "ring.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    environment = {"PYTHONPATH": ".", "PYTHONMALLOC": "pymalloc", "PATH": "/usr/bin:/bin"}
    script = f"ulimit -c unlimited; exec {sys.executable} run.py"
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, check=False)
    report = postmortem.analyze(next(tmp_path.glob("core*")), postmortem.Options(strict=True))
    assert report.verdict is not None
    assert report.verdict.rule == rule
    assert ("ring.so" in report.verdict.summary) == (rule == "use-after-free")
