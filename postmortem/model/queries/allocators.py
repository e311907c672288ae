"""Is the crash inside an allocator, whose, and what was asked of it?

An allocator is told by its library, or by the names of its functions, which need an entry (malloc, free, …) above them:
its helpers' names alone (arena_get, unbin) may be a program's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from postmortem.model.queries import crash as views
from postmortem.model.queries.files import file_name
from postmortem.model.queries.names import plain
from postmortem.model.queries.patterns import Lazy

if TYPE_CHECKING:
    from postmortem.model import Frame, Report

_LIBRARIES = (
    ("jemalloc", Lazy(r"libjemalloc[^/]*\.so.*")),
    ("tcmalloc", Lazy(r"libtcmalloc[^/]*\.so.*")),
    ("mimalloc", Lazy(r"libmimalloc[^/]*\.so.*")),
    ("Scudo", Lazy(r"lib(?:clang_rt\.)?scudo[^/]*\.so.*")),
    ("hardened_malloc", Lazy(r"libhardened_malloc[^/]*\.so.*")),
    ("snmalloc", Lazy(r"libsnmalloc[^/]*\.so.*")),
    ("Hoard", Lazy(r"libhoard[^/]*\.so.*")),
    ("rpmalloc", Lazy(r"librpmalloc[^/]*\.so.*")),
)
_FUNCTIONS = (
    (
        "jemalloc",
        r"(?:_?rjem_)?_?je_\w+|arena_\w+|tcache_\w+|edata_\w+|emap_\w+|rtree_\w+|extent_\w+|eset_\w+|psset_\w+|hpa_\w+|"
        r"pac?_\w+|pai_\w+|large_\w*(?:alloc|free)\w*|i?sd?free\w*|ifree|isfree|i[rdpsv]*alloc\w*|cache_bin_\w+|san_\w+|"
        r"bin_\w+|base_\w+|safety_check_\w+|do_rallocx|free_default|malloc_default|imalloc\w*|hook_invoke_\w+",
    ),
    (
        "tcmalloc",
        r"tcmalloc::.*|tc_\w+|\(anonymous namespace\)::(?:do_|Invalid|cpp_|free_|malloc_).*|do_(?:free|malloc)\w*",
    ),
    ("mimalloc", r"_?mi_\w+"),
    ("Scudo", r"scudo::.*|__scudo_\w+"),
    (
        "musl's malloc",
        r"get_meta|__libc_(?:free|malloc|malloc_impl|realloc|calloc)|alloc_slot|alloc_group|try_avail|nontrivial_free|"
        r"free_group|enframe|get_stride|set_size|get_nominal_size|okay_to_free|a_crash|__malloc_\w+|unbin|bin_chunk|"
        r"__bin_chunk|alloc_fwd|alloc_rev|trim|pretrim|__expand_heap|dequeue|queue|default_(?:free|malloc)|realloc_group",
    ),
    ("CPython's object allocator", r"pymalloc_\w+|_?Py(?:Object|Mem)_\w*(?:Alloc|alloc|Free)\w*|_PyMem_\w+"),
    (
        "glibc's malloc",
        r"_int_(?:malloc|free|realloc|memalign).*|unlink_chunk.*|malloc_(?:consolidate|printerr)|tcache_\w+|sysmalloc|"
        r"systrim|_mid_memalign|munmap_chunk|mremap_chunk|arena_get\w*|new_heap|heap_trim|ptmalloc_\w+|__malloc_\w+",
    ),
)
_GLIBC = Lazy(r"libc(?:-2\.\d+\.so|\.so\.6)")
"""Helpers of several allocators have the same names (arena_for_chunk); here they are glibc's."""
_NAMED = tuple((name, Lazy(pattern)) for name, pattern in _FUNCTIONS)
_FREES = Lazy(
    r"_*(?:libc_|tc_|je_|mi_|rjem_|_rjem_je_)?(?:c?free|[sn]dallocx|dallocx|free_sized|free_aligned_sized|sdallocx)"
    r"|operator delete(?:\[\])?|tc_delete\w*|__rust_dealloc|_?Py(?:Object|Mem)_(?:Raw)?Free"
)
_TAKES = Lazy(
    r"_*(?:libc_|tc_|je_|mi_|rjem_|_rjem_je_)?(?:malloc|calloc|realloc|reallocarray|memalign|posix_memalign|aligned_alloc"
    r"|valloc|pvalloc|[mr]allocx|xallocx|usable_size|malloc_usable_size)|operator new(?:\[\])?|tc_new\w*"
    r"|__rust_(?:re)?alloc|_?Py(?:Object|Mem)_(?:Raw)?(?:Malloc|Calloc|Realloc)"
)
_REALLOCATES = Lazy(r"_*(?:libc_|tc_|je_|mi_|rjem_|_rjem_je_)?(?:realloc|reallocarray|rallocx)|__rust_realloc")


class Inside(NamedTuple):
    """allocator: its name. outermost: index of its outermost frame. frees: what was asked; None where not known, and of
    realloc, which does both."""

    allocator: str
    outermost: int
    frees: bool | None


def inside(report: Report) -> Inside | None:
    """The allocator that the innermost frames of the crashing thread are of."""
    frames = views.crashing_frames(report)
    nameless = _without_names(frames)
    if nameless is not None:
        return nameless
    outermost, entry = -1, -1
    names: list[str] = []
    for index, frame in enumerate(frames[:40]):
        of, is_entry = _of(frame)
        if of is None and not is_entry and not _is_static(frames, index):
            break
        outermost = index
        entry = index if is_entry else entry
        if of is not None:
            names.append(of)
    if outermost < 0:
        return None
    library = _library(frames[0])
    if library is None:
        if entry < 0:
            return None
        outermost = entry
    asked = [plain(frame.function or "") for frame in frames[: outermost + 1]]
    frees = any(_FREES.fullmatch(name) for name in asked)
    takes = any(_TAKES.fullmatch(name) for name in asked)
    name = library or next(iter(names), "the allocator")
    both = any(_REALLOCATES.fullmatch(name) for name in asked)
    return Inside(name, outermost, frees if frees or (takes and not both) else None)


def in_glibc(report: Report) -> bool:
    """Whether the innermost frame of the crashing thread is of glibc's own file: its allocator is no other one."""
    frames = views.crashing_frames(report)
    return bool(frames) and _of_glibc(frames[0])


def _of_glibc(frame: Frame) -> bool:
    return frame.module is not None and _GLIBC.fullmatch(file_name(frame.module)) is not None


def _without_names(frames: tuple[Frame, ...]) -> Inside | None:
    """glibc's functions without names, which a call of malloc or free entered."""
    if not frames or frames[0].function is not None:
        return None
    outermost = next((i - 1 for i, frame in enumerate(frames) if frame.function is not None), -1)
    entered = plain(frames[outermost + 1].entered or "") if outermost >= 0 else ""
    frees = _FREES.fullmatch(entered) is not None
    if not _of_glibc(frames[0]) or not (frees or _TAKES.fullmatch(entered)):
        return None
    return Inside("glibc's malloc", outermost, None if _REALLOCATES.fullmatch(entered) else frees)


def _of(frame: Frame) -> tuple[str | None, bool]:
    """(allocator, whether it is a function that programs call) of a frame."""
    name = plain(frame.function) if frame.function is not None else ""
    is_entry = bool(_FREES.fullmatch(name) or _TAKES.fullmatch(name))
    library = _library(frame)
    if library is not None:
        return library, is_entry
    if frame.function is None or frame.kind == "signal":
        return None, False
    of = next((allocator for allocator, pattern in _NAMED if pattern.fullmatch(name)), None)
    if of is not None and frame.module is not None and _GLIBC.fullmatch(file_name(frame.module)):
        of = "glibc's malloc"
    return of, is_entry


def _library(frame: Frame) -> str | None:
    name = file_name(frame.module) if frame.module else ""
    return next((allocator for allocator, pattern in _LIBRARIES if pattern.fullmatch(name)), None)


def _is_static(frames: tuple[Frame, ...], index: int) -> bool:
    """An unnamed frame of libc between its callee's malloc functions and its own."""
    frame = frames[index]
    if frame.function is not None or frame.module is None or index + 1 >= len(frames):
        return False
    following = frames[index + 1]
    return following.module == frame.module and any(_of(following))
