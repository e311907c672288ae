"""Which ELF files were mapped, and which files here are the same ones.

A path named by the core is opened only when it resolves inside an allowed root to a regular file, and
its bytes are used only when its build-id equals the one in the core (or, for a module without a
build-id, when its first page does).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from parsers.elf import module as image_parser
from parsers.elf.notes import AT_PHDR, AT_SYSINFO_EHDR
from parsers.elf.package import package
from parsers.limits import LIMITS
from postmortem.model import Address, Module, ModuleCandidate
from postmortem.model.queries.files import DELETED, file_name
from postmortem.program.memory import AddressSpace, Piece
from postmortem.targets.buildids import has_code
from postmortem.targets.files import SearchPath, open_regular, resolve_inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from parsers.elf.core import Core
    from parsers.elf.module import Image
    from parsers.filebytes import FileBytes

_NOT_ELF = "not an ELF image"
_PARTS_OF_LOOKUP = 4


@dataclass(slots=True, kw_only=True)
class LoadedModule:
    """A mapped ELF image with the file found for it. `bias` maps link-time addresses to memory."""

    path: str
    start: int
    end: int
    bias: int
    image: Image | None
    soname: str | None = None
    build_id: str | None = None
    status: str = "missing"
    file: Path | None = None
    file_build_id: str | None = None
    candidates: list[ModuleCandidate] = field(default_factory=list)
    content: FileBytes | None = None
    symbols_source: str | None = None
    package: dict[str, str] = field(default_factory=dict)

    def to_model(self) -> Module:
        """As the report shows it."""
        return Module(
            path=self.path,
            soname=self.soname,
            build_id=self.build_id,
            start=Address(self.start),
            end=Address(self.end),
            bias=Address(self.bias & 0xFFFFFFFFFFFFFFFF),
            status=self.status,  # type: ignore[arg-type]
            file=str(self.file) if self.file else None,
            file_build_id=self.file_build_id,
            symbols=self.symbols_source,
            candidates=tuple(self.candidates),
            package=self.package,
        )


class ModuleMap:
    """All modules by address."""

    def __init__(self, modules: Iterable[LoadedModule]) -> None:
        self.modules = sorted(modules, key=lambda module: module.start)
        self._starts = [module.start for module in self.modules]

    @property
    def executable(self) -> LoadedModule | None:
        """The lowest module; the vDSO, which may lie below a static executable, is none."""
        return next((module for module in self.modules if not module.path.startswith("[")), None)

    def at(self, address: int) -> LoadedModule | None:
        """The module that holds an address."""
        from bisect import bisect_right

        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self.modules[index].end:
            return self.modules[index]
        return None

    def named(self, name: str) -> LoadedModule | None:
        """The first module whose soname or file name starts with `name`."""
        for module in self.modules:
            if (module.soname or "").startswith(name) or file_name(module.path).startswith(name):
                return module
        return None


def load_modules(core: Core, space: AddressSpace, search: SearchPath) -> ModuleMap:
    """Find every mapped ELF image and its file, and lay the files' pages under the core's."""
    modules: list[LoadedModule] = []
    groups = _group(core)
    for number, (path, rows) in enumerate(groups):
        if not space.budget.left("modules"):
            space.budget.miss("modules", len(groups) - number)
            break
        module = _load(path, rows, space, search, is_executable=_is_executable(path, rows, core))
        if module is not None and space.budget.take("modules"):
            modules.append(module)
    vdso = core.auxv.get(AT_SYSINFO_EHDR)
    if vdso and not any(module.start <= vdso < module.end for module in modules):
        image = image_parser.read_image(space.read, vdso)
        if image is not None:
            modules.append(
                LoadedModule(
                    path="[vdso]",
                    start=vdso,
                    end=image.end,
                    bias=image.bias,
                    image=image,
                    soname=image_parser.soname(space.read, image),
                    build_id=image.build_id,
                    status="matched",
                    candidates=[ModuleCandidate(path="[vdso]", outcome="read from the core")],
                )
            )
    if not core.files:
        modules.extend(_from_link_map(core, space, search))
    return ModuleMap(modules)


def _group(core: Core) -> list[tuple[str, list[tuple[int, int, int]]]]:
    """Rows of NT_FILE that belong to one load of one file: (start, end, file offset) ascending."""
    groups: list[tuple[str, list[tuple[int, int, int]]]] = []
    latest: dict[str, list[tuple[int, int, int]]] = {}
    for row in core.files:
        rows = latest.get(row.path)
        if rows is None or row.offset == 0 or row.offset < rows[-1][2]:
            rows = []
            latest[row.path] = rows
            groups.append((row.path, rows))
        rows.append((row.start, row.end, row.offset))
    return groups


def _is_executable(path: str, rows: list[tuple[int, int, int]], core: Core) -> bool:
    phdr = core.auxv.get(AT_PHDR, 0)
    return rows[0][0] <= phdr < rows[-1][1]


def _load(
    path: str,
    rows: list[tuple[int, int, int]],
    space: AddressSpace,
    search: SearchPath,
    *,
    is_executable: bool,
) -> LoadedModule | None:
    start, end = rows[0][0], rows[-1][1]
    image = image_parser.read_image(space.read, start) if rows[0][2] == 0 else None
    header_in_core = space.read(start, 64)
    if header_in_core is not None and not header_in_core.startswith(b"\x7fELF"):
        return None  # a data file
    if rows[0][2] != 0 and header_in_core is None:
        return None  # a part of a file that does not begin with its ELF header: data
    module = LoadedModule(
        path=path,
        start=start,
        end=max(end, image.end if image else 0),
        bias=image.bias if image else start,
        image=image,
    )
    if image is not None:
        module.build_id = image.build_id
    _find_file(module, rows, space, search, is_executable)
    if module.content is not None and module.image is None:
        module.image = image_parser.read_image(space.read, start)
        if module.image is not None:
            module.bias, module.end = module.image.bias, max(module.end, module.image.end)
    if module.image is None:
        if header_in_core is None and (not _looks_like_code(path) or _is_data(module)):
            return None
    else:
        module.soname = image_parser.soname(space.read, module.image)
        module.package = package(space.read, module.image)
    return module


def _is_data(module: LoadedModule) -> bool:
    """Whether the files of that name that are here are no ELF images."""
    return any(candidate.outcome == _NOT_ELF for candidate in module.candidates)


def _looks_like_code(path: str) -> bool:
    name = file_name(path)
    return ".so" in name or "." not in name


def _candidates(module: LoadedModule, search: SearchPath, is_executable: bool) -> Iterator[tuple[Path, Path]]:
    """Files to try as (path, allowed root), best first."""
    if search.closed:
        return
    named = search.named(module.path)
    if is_executable and search.executable is not None:
        yield search.executable.absolute(), Path("/")
    if named.is_absolute():
        yield named, search.root
    if module.build_id:
        tail = Path(".build-id") / module.build_id[:2]
        for directory in search.debug_dirs:
            yield search.allowed(directory / tail / module.build_id[2:])
    for directory in search.debug_dirs:
        yield search.allowed(directory / named.name)
    if search.by_build_id is not None:
        for path in search.by_build_id.files(module.build_id):
            yield search.allowed(path)


def _find_file(
    module: LoadedModule,
    rows: list[tuple[int, int, int]],
    space: AddressSpace,
    search: SearchPath,
    is_executable: bool,
) -> None:
    deleted = module.path.endswith(DELETED)
    mismatched: tuple[Path, str | None] | None = None
    if not space.budget.left("file_lookups"):
        space.budget.miss("file_lookups")
        module.status = "deleted" if deleted else "missing"
        return
    for path, root in _candidates(module, search, is_executable):
        if not space.budget.take("file_lookups", 1 + len(path.parts) // _PARTS_OF_LOOKUP):
            break
        content = open_regular(path, root)
        if isinstance(content, str):
            module.candidates.append(ModuleCandidate(path=str(path), outcome=content))
            continue
        outcome, identity = _compare(module, rows, space, content)
        if path.name != file_name(module.path) and outcome.startswith("matched") and not has_code(content):
            separate = "a separate debug file: it has names and lines, not the module's bytes"
            module.candidates.append(ModuleCandidate(path=str(path), outcome=separate))
            content.close()
            continue
        module.candidates.append(ModuleCandidate(path=str(path), outcome=outcome))
        if not outcome.startswith("matched"):
            mismatched = mismatched or (path, identity)
            content.close()
            continue
        module.file = resolve_inside(path, root) or path
        module.file_build_id = identity
        module.status = "matched"
        module.content = content
        for start, end, offset in rows:
            available = min(end - start, max(0, len(content) - offset))
            if available > 0 and space.budget.take("file_pieces"):
                space.add_file(Piece(start, start + available, content, offset))
        return
    if mismatched is not None:
        module.status = "deleted" if deleted else "mismatched"
        module.file_build_id = mismatched[1]
    else:
        module.status = "deleted" if deleted else "missing"


def _compare(
    module: LoadedModule, rows: list[tuple[int, int, int]], space: AddressSpace, content: FileBytes
) -> tuple[str, str | None]:
    """Whether `content` is the mapped file: "matched…" or what differs, and its build-id."""

    def read(address: int, size: int) -> bytes | None:
        data = content[address : address + size] if address >= 0 else b""
        return data if len(data) == size else None

    file_image = image_parser.read_image(read, 0)
    if file_image is None:
        return _NOT_ELF, None
    identity = _file_build_id(content, file_image)
    if module.build_id is not None:
        if identity == module.build_id:
            return "matched by build-id", identity
        return f"build-id is {identity or 'absent'}, the core wants {module.build_id}", identity
    start = rows[0][0]
    page = space.read(start, 4096)
    if page is None:
        data_rows = [row for row in rows if row[2]]
        if not data_rows:
            return "the core holds neither its build-id nor its first page", identity
        # No page to compare: the extents of the mapping must be those of the file's segments.
        extent = max((load.offset + load.filesz for load in file_image.loads), default=0)
        last = max(row[2] + row[1] - row[0] for row in rows)
        if extent <= last < extent + 0x2000:
            return "matched by the extent of its segments (no build-id in the core)", identity
        return "the core holds no build-id and its segments have another extent", identity
    if page[:64] == content[:64] and page == content[:4096].ljust(4096, b"\0"):
        return "matched by its first page (no build-id)", identity
    return "its first page differs", identity


def _file_build_id(content: FileBytes, image: Image) -> str | None:
    from parsers.elf import header as elf
    from parsers.elf import notes
    from parsers.errors import ParseError

    try:
        headers, _ = elf.read_program_headers(content, elf.read_header(content))
    except ParseError:
        return image.build_id
    for entry in headers:
        if entry.type == elf.PT_NOTE:
            identity = notes.build_id(content, entry.offset, min(entry.filesz, LIMITS.module_notes), entry.align)
            if identity:
                return identity
    return None


def _from_link_map(core: Core, space: AddressSpace, search: SearchPath) -> Sequence[LoadedModule]:
    """Modules of a core without NT_FILE: the executable from --exe by AT_PHDR, the rest by link_map."""
    phdr = core.auxv.get(AT_PHDR)
    if phdr is None:
        return []
    start = phdr & ~0xFFF
    modules = []
    path = str(search.executable) if search.executable else "(executable)"
    image = image_parser.read_image(space.read, start)
    if image is None:
        return []
    executable = _load(path, [(start, image.end, 0)], space, search, is_executable=True)
    if executable is None or executable.image is None:
        return []
    modules.append(executable)
    if executable.image.dynamic is None:
        return modules
    debug = image_parser.dynamic_entries(space.read, executable.image.dynamic).get(image_parser.DT_DEBUG)
    if not debug:
        return modules
    seen: set[int] = set()
    for entry in image_parser.link_map(space.read, debug):
        if not entry.path or entry.bias in seen:
            continue
        seen.add(entry.bias)
        mapped = image_parser.read_image(space.read, entry.bias)
        if mapped is None:
            continue
        rows = [
            (
                entry.bias + (load.vaddr & ~0xFFF),
                (entry.bias + load.vaddr + load.filesz + 0xFFF) & ~0xFFF,
                load.offset & ~0xFFF,
            )
            for load in mapped.loads
        ]
        if not space.budget.left("modules"):
            space.budget.miss("modules")
            break
        module = _load(entry.path, rows, space, search, is_executable=False)
        if module is not None and space.budget.take("modules"):
            modules.append(module)
    return modules
