"""The function to name in a title: the first frame that is not a runtime's own machinery."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import msgspec

from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain, shown
from postmortem.model.queries.patterns import listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postmortem.model import Frame
    from postmortem.model.queries.patterns import Patterns


_PLUMBING = re.compile(
    r"code cache, unused part|call_stub|nep_invoker\w*|.*\b[Aa]dapters?\b.*|.*[Ss]ignature handlers?.*|.*upcall_stub.*"
)
"""Stubs of a JVM that belong to no function: a hole of the code cache, and the ways between Java and native code."""

_INSTALLED = re.compile(
    r"/usr/include/.*|.*/include/c\+\+/.*|.*/lib(?:64|32)?/gcc/[^/]+/[^/]+/include(?:-fixed)?/.*|.*/lib/clang/[^/]+/include/.*"
)
_RUST_LIBRARY = re.compile(
    r"/rustc/[0-9a-f]+/library/.*|.*/rustlib/src/rust/library/.*|(?:.*/)?rustc-\d[^/]*/library/.*"
)
"""Source of compilers and installed libraries whose functions are compiled into their callers."""
_RUST_CRATES = re.compile(r"<*&?(?:dyn )?(?:core|std|alloc|__rustc|test)(?:\[[0-9a-f]+\])?::|_?_?rust_")
_C_LIBRARY_SOURCE = re.compile(
    r"(?:\.{1,2}/)?(?:sysdeps|string|malloc|nptl|stdlib|stdio-common|libio|io|socket|posix|debug|signal|wcsmbs|misc)/.*"
)
"""glibc's, which its build names by their folder in its tree."""
_SHARED_LIBRARY = re.compile(r".*\.so(?:\.[\w.]+)?")


def _patterns(name: str) -> Patterns:
    return listed("postmortem.model.queries", name)


def skipped_function(function: str) -> bool:
    """True for the functions of lists/skip_functions.txt and c_library_functions.txt, by their plain name."""
    return _reporting_function(function) or _c_library_function(function)


@functools.lru_cache(maxsize=1 << 14)
def _reporting_function(function: str) -> bool:
    return _patterns("skip_functions.txt").fullmatch(plain(function))


@functools.lru_cache(maxsize=1 << 14)
def _c_library_function(function: str) -> bool:
    return _patterns("c_library_functions.txt").fullmatch(plain(function))


def installed_source(frame: Frame) -> bool:
    """True when the code is of a header of the compiler or of an installed library: no place of the program's own."""
    if frame.kind != "native" or frame.file is None:
        return False
    if _RUST_LIBRARY.fullmatch(frame.file) and not frame.inlined:
        # The line may be of what was inlined last; the function then still has its own name.
        return frame.function is None or _RUST_CRATES.match(frame.function) is not None
    return _INSTALLED.fullmatch(frame.file) is not None or _RUST_LIBRARY.fullmatch(frame.file) is not None


def _is_file_of_inlined(frame: Frame) -> bool:
    """A function of the program whose line is one of Rust's library, which was inlined there last."""
    return frame.file is not None and _RUST_LIBRARY.fullmatch(frame.file) is not None and not installed_source(frame)


def _of_c_library(frame: Frame) -> bool:
    """A function that has the name of one of the C library, in a program that it may be linked into.

    A program may have a function of that name, and so may a library that takes the C library's place: the source or the
    module is its own then.
    """
    if frame.function is None or not _c_library_function(frame.function):
        return False
    if frame.file is not None and not installed_source(frame) and not _C_LIBRARY_SOURCE.fullmatch(frame.file):
        return False
    return frame.module is None or _SHARED_LIBRARY.fullmatch(file_name(frame.module)) is None


@functools.lru_cache(maxsize=1 << 12)
def skipped_module(path: str) -> bool:
    """True for the modules of triage/lists/skip_modules.txt, by their file name."""
    return _patterns("skip_modules.txt").fullmatch(file_name(path))


_OF_OTHER_SYSTEMS = re.compile(
    r"libsystem_\w+\.dylib|libobjc\.A\.dylib|libdispatch\.dylib|libswift\w+\.dylib|libdyld\.dylib"
    r"|libc\+\+\w*\.\S*dylib|(?:ntdll|kernel32|kernelbase|ucrtbase|msvc\w+|vcruntime\w+)\.dll",
    re.IGNORECASE,
)


def of_other_system(path: str) -> bool:
    """True for what libc's kind is called on macOS and Windows."""
    return _OF_OTHER_SYSTEMS.fullmatch(file_name(path)) is not None


def machinery(frame: Frame) -> bool:
    """True when a frame only reports or passes on what its caller caused."""
    if frame.kind == "signal" or (frame.kind == "stub" and _PLUMBING.fullmatch(frame.function or "")):
        return True
    return in_system_library(frame) or _is_skipped(frame)


def in_system_library(frame: Frame) -> bool:
    """True for code of a system library, also of a C library that is linked into the program."""
    return frame.linked_library is not None or (frame.module is not None and skipped_module(frame.module))


def _is_skipped(frame: Frame) -> bool:
    if frame.linked_library is not None:
        return True
    return frame.function is not None and (_reporting_function(frame.function) or _of_c_library(frame))


def first(frames: Iterable[Frame]) -> tuple[int, Frame] | None:
    """Index and frame of the function to name; None when every frame is machinery, unnamed, or found by scanning.

    A word that a scan of the stack took for a return address may be a leftover of an earlier call: it names nobody.
    A function of an installed header is named only when nothing else can be. A call that left by a tail call is named
    by what was called, which has no frame: the frame is then its caller's with that function.
    """
    every = tuple(frames)
    header: tuple[int, Frame] | None = None
    for index, frame in enumerate(every):
        if frame.trust == "scan" or (frame.function is None and frame.module is None):
            continue
        left = _left_by_tail_call(frame)
        if left is not None and not machinery(left):
            return index, left
        if machinery(frame) or (frame.function is None and _is_within_machinery(every, index)):
            continue
        if not installed_source(frame):
            return index, frame
        header = header or (index, frame)
    return header


def _left_by_tail_call(frame: Frame) -> Frame | None:
    if frame.tail_call is None:
        return None
    return msgspec.structs.replace(
        frame, function=frame.tail_call, tail_call=None, file=None, line=None, linked_library=None
    )


def _is_within_machinery(frames: tuple[Frame, ...], index: int) -> bool:
    """An unnamed frame whose nearest named caller in the same module is machinery: a static function of that."""
    for frame in frames[index + 1 :]:
        if frame.module != frames[index].module:
            return False
        if frame.function is not None:
            return _is_skipped(frame)
    return False


def label(frame: Frame) -> str:
    """ "Cart::total(), checkout.cpp:42" as far as it is known, else "libcart.so+0x1f30"."""
    if frame.function is None:
        module = file_name(frame.module) if frame.module else None
        if module is None or frame.module_offset is None:
            return module or (hex(frame.pc) if frame.pc is not None else "a frame that is not known")
        return f"{module}+{frame.module_offset:#x}"
    name = frame.function if frame.kind.startswith("java") else shown(frame.function)
    text = f"{name}()"
    if frame.file is None or _is_file_of_inlined(frame):
        return text
    file = file_name(frame.file)
    return f"{text}, {file}:{frame.line}" if frame.line else f"{text}, {file}"
