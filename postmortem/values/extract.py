"""From a pc to its Place: functions with their variables, where these are at that pc, and their types."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from elftools.dwarf.locationlists import BaseAddressEntry, LocationEntry, LocationParser

from parsers.limits import LIMITS
from postmortem.symbols.damage import DAMAGE
from postmortem.values.description import CallParameter, CallSite, Member, Place, Scope, Type, Variable, Variant
from postmortem.values.split import skeleton, split_locations, split_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from elftools.dwarf.compileunit import CompileUnit
    from elftools.dwarf.die import DIE

    from postmortem.symbols.elffile import ElfFile
    from postmortem.values.deadline import Deadline
    from postmortem.values.description import Kind
    from postmortem.values.units import Units

_HOPS = 3
"""How many pointers are followed when types are read: a container's pointer, its element's, what that points at."""
_POINTERS: dict[str, Kind] = {
    "DW_TAG_pointer_type": "pointer",
    "DW_TAG_reference_type": "reference",
    "DW_TAG_rvalue_reference_type": "reference",
}
_KINDS: dict[str, Kind] = {
    "DW_TAG_base_type": "base", "DW_TAG_structure_type": "struct", "DW_TAG_class_type": "struct",
    "DW_TAG_union_type": "union", "DW_TAG_array_type": "array", "DW_TAG_enumeration_type": "enum",
    "DW_TAG_subroutine_type": "function", "DW_TAG_typedef": "typedef", "DW_TAG_const_type": "qualifier",
    "DW_TAG_volatile_type": "qualifier", "DW_TAG_restrict_type": "qualifier", "DW_TAG_atomic_type": "qualifier",
    "DW_TAG_ptr_to_member_type": "member-pointer", "DW_TAG_unspecified_type": "void",
    "DW_TAG_template_alias": "typedef", **_POINTERS,
}  # fmt: skip
_BLOCKS = ("DW_TAG_lexical_block", "DW_TAG_inlined_subroutine", "DW_TAG_try_block", "DW_TAG_catch_block")
_CALLS = ("DW_TAG_call_site", "DW_TAG_GNU_call_site")
_SIGNED = (5, 6, 0x0D)
_NAMED_BY_COMPILER = ("__func__", "__FUNCTION__", "__PRETTY_FUNCTION__")
_NAMED_SCOPES = ("DW_TAG_namespace", "DW_TAG_structure_type", "DW_TAG_class_type", "DW_TAG_union_type", "DW_TAG_module")


class Extractor:
    """Descriptions of places in one file."""

    def __init__(
        self,
        units: Units,
        deadline: Deadline,
        split: Callable[[str, str], Iterable[ElfFile]] = lambda name, folder: (),
        number: int = 0,
    ) -> None:
        """split: the files that may hold a unit that was split off. number: of such a unit, from 1."""
        self._units = units
        self._deadline = deadline
        self._parser = LocationParser(units.location_lists)
        self._files = split
        self._number = number
        self._split: dict[int, tuple[Extractor, CompileUnit] | str] = {}

    def place(self, address: int, returning: int | None) -> Place:
        """What is known at a link-time address; returning: the return address, for a frame that made a call.

        Raises one of DAMAGE, or Expired.
        """
        unit = self._units.unit_at(address)
        if unit is None:
            return Place(missing="no debug info covers this address")
        kept = skeleton(unit)
        if kept is None:
            return self._described(unit, address, returning)
        found = self._split.get(unit.cu_offset)
        if found is None:
            made = split_unit(kept, self._files(kept.name, kept.folder), self._units.content, self._deadline)
            found = made if isinstance(made, str) else (self._of_split(made[0]), made[1])
            self._split[unit.cu_offset] = found
        if isinstance(found, str):
            return Place(missing=found, passing=True)
        return found[0]._described(found[1], address, returning)

    def _of_split(self, units: Units) -> Extractor:
        return Extractor(units, self._deadline, number=len(self._split) + 1)

    def _described(self, unit: CompileUnit, address: int, returning: int | None) -> Place:
        function = self._units.function_at(unit, address)
        if function is None:
            return Place(missing="no debug info covers this address")
        language = unit.get_top_DIE().attributes.get("DW_AT_language")
        types = _Types(self._units, self._deadline)
        reader = _Reader(self, unit, types, address, returning)
        scopes = reader.scopes(function)
        origins = self.origins(function)
        place = Place(
            scopes=tuple(scopes),
            frame_base=self.location(function, "DW_AT_frame_base", address),
            low=_low(self._units, function),
            language=language.value if language is not None and isinstance(language.value, int) else 0,
            call=reader.call,
            identities=tuple(self.identity(die) for die in origins if die.cu.dwarfinfo is self._units.dwarf),
            names=tuple(name for die in origins for name in _linkage(die)),
        )
        types.fill()
        place.types = types.made
        expressions = _expressions(place)
        place.bases = self._bases(unit, expressions)
        place.addresses = self._addresses(unit, expressions)
        return place

    def identity(self, die: DIE) -> int:
        """A number that no other DIE of the program has: its offset, above it that of the split unit that it is in."""
        return self._number << 40 | die.offset

    def origins(self, die: DIE) -> list[DIE]:
        """The DIE and what it is an instance or the definition of."""
        found = [die]
        while len(found) < 8:
            following = self._units.reference(found[-1], "DW_AT_abstract_origin")
            if following is None:
                following = self._units.reference(found[-1], "DW_AT_specification")
            if following is None or any(following is known for known in found):
                break
            found.append(following)
        return found

    def name(self, origins: list[DIE]) -> str:
        """The plain name of a function or a variable."""
        return next((name for die in origins if (name := _text(die, "DW_AT_name"))), "")

    def location(self, die: DIE, name: str, address: int) -> bytes | None:
        """The expression in force at an address; None where there is none."""
        attribute = die.attributes.get(name)
        if attribute is None:
            return None
        if isinstance(attribute.value, (list, bytes)) and attribute.form != "DW_FORM_string":
            return bytes(attribute.value)
        if not LocationParser.attribute_has_location(attribute, die.cu["version"]):
            return None
        if self._number and die.cu["version"] < 5 and isinstance(attribute.value, int):
            return self._split_location(attribute.value, die, address)
        entries = self._parser.parse_from_attribute(attribute, die.cu["version"], die)
        if not isinstance(entries, list):
            return bytes(entries.loc_expr)
        low = die.cu.get_top_DIE().attributes.get("DW_AT_low_pc")
        base = low.value if low is not None and isinstance(low.value, int) else 0
        default = None
        for entry in entries[: LIMITS.die_ranges]:
            if isinstance(entry, BaseAddressEntry):
                base = entry.base_address
            elif isinstance(entry, LocationEntry):
                if entry.begin_offset == -1:
                    default = bytes(entry.loc_expr)
                    continue
                shift = 0 if entry.is_absolute else base
                if entry.begin_offset + shift <= address < entry.end_offset + shift:
                    return bytes(entry.loc_expr)
        return default

    def _split_location(self, offset: int, die: DIE, address: int) -> bytes | None:
        unit: Any = die.cu
        low = unit.get_top_DIE().attributes["DW_AT_low_pc"].value
        entries = split_locations(
            self._units.content("loc") or b"", offset, lambda number: self._units.dwarf.get_addr(unit, number)
        )
        for start, end, expression, absolute in entries:
            shift = 0 if absolute else low
            if start + shift <= address < end + shift:
                return expression
        return None

    def _bases(self, unit: CompileUnit, expressions: list[bytes]) -> dict[int, tuple[int, int]]:
        """Base types that expressions may name: those of the unit that typed operations refer to."""
        found: dict[int, tuple[int, int]] = {}
        for offset in {offset for code in expressions for offset in _operands(code, _NAMES_TYPE)} - {0}:
            try:
                die = unit.get_DIE_from_refaddr(unit.cu_offset + offset)
                found[offset] = (_integer(die, "DW_AT_encoding") or 0, _integer(die, "DW_AT_byte_size") or 0)
            except DAMAGE:
                continue  # an operand that only looked like one
        return found

    def _addresses(self, unit: CompileUnit, expressions: list[bytes]) -> dict[int, int]:
        """Addresses that expressions may name by their number in .debug_addr."""
        found: dict[int, int] = {}
        for number in {number for code in expressions for number in _operands(code, _NAMES_ADDRESS)}:
            try:
                found[number] = self._units.dwarf.get_addr(unit, number)
            except DAMAGE:
                continue
        return found


class _Reader:
    """One function's tree, as far as it covers an address."""

    def __init__(
        self, extractor: Extractor, unit: CompileUnit, types: _Types, address: int, returning: int | None
    ) -> None:
        self._extractor = extractor
        self._unit = unit
        self._types = types
        self._address = address
        self._returning = returning
        self.call: CallSite | None = None
        self._count = 0

    def scopes(self, function: DIE) -> list[Scope]:
        """Innermost inlined function first."""
        made: list[Scope] = []
        self._function(function, False, made)
        made.reverse()
        return made

    def _function(self, die: DIE, inlined: bool, made: list[Scope]) -> None:
        if len(made) >= LIMITS.die_depth:
            return
        origins = self._extractor.origins(die)
        place = len(made)
        made.append(Scope("", inlined, (), ()))
        parameters: list[Variable] = []
        levels: list[list[Variable]] = []
        self._block(die, origins, parameters, levels, made, 0)
        variables = [variable for level in reversed(levels) for variable in level]
        made[place] = Scope(self._extractor.name(origins), inlined, tuple(parameters), tuple(variables))

    def _block(
        self, die: DIE, origins: list[DIE], parameters: list[Variable], levels: list[list[Variable]],
        made: list[Scope], depth: int,
    ) -> None:  # fmt: skip
        extractor = self._extractor
        level: list[Variable] = []
        levels.append(level)
        seen: set[int] = set()
        inner: DIE | None = None
        for child in die.iter_children():
            self._count += 1
            if not self._count & 63:
                extractor._deadline.check()
            tag = child.tag
            if tag in ("DW_TAG_formal_parameter", "DW_TAG_variable"):
                chain = extractor.origins(child)
                seen.update(other.offset for other in chain[1:])
                variable = self._variable(child, chain)
                if variable is not None and len(parameters) + len(level) < LIMITS.variables:
                    (parameters if tag == "DW_TAG_formal_parameter" and not depth else level).append(variable)
            elif tag in _BLOCKS:
                if inner is None and self._covers(child):
                    inner = child
            elif tag in _CALLS and self.call is None and self._returning is not None:
                self._call_site(child)
        # What an instance leaves out of the function that it is one of, no longer has a place.
        for origin in origins[1:]:
            if depth or not origin.has_children:
                continue
            position = 0
            for child in origin.iter_children():
                self._count += 1
                if child.tag in ("DW_TAG_formal_parameter", "DW_TAG_variable") and child.offset not in seen:
                    variable = self._variable(child, [child])
                    if variable is not None and not any(known.name == variable.name for known in (*parameters, *level)):
                        if child.tag == "DW_TAG_formal_parameter":
                            parameters.insert(position, variable)
                        else:
                            level.append(variable)
                position += child.tag == "DW_TAG_formal_parameter"
            break
        if inner is None or depth > LIMITS.die_depth:
            return
        if inner.tag == "DW_TAG_inlined_subroutine":
            self._function(inner, True, made)
        else:
            self._block(inner, extractor.origins(inner), parameters, levels, made, depth + 1)

    def _covers(self, die: DIE) -> bool:
        ranges = self._extractor._units.ranges(die)
        if ranges:
            return any(start <= self._address < end for start, end in ranges)
        # A block without code of its own only groups: it is open where one in it is.
        return (
            die.tag == "DW_TAG_lexical_block"
            and "DW_AT_low_pc" not in die.attributes
            and any(child.tag in _BLOCKS and self._covers(child) for child in die.iter_children())
        )

    def _variable(self, die: DIE, origins: list[DIE]) -> Variable | None:
        name = self._extractor.name(origins)
        if not name or name in _NAMED_BY_COMPILER:
            return None
        if any("DW_AT_declaration" in other.attributes for other in origins) and len(origins) == 1:
            return None
        kind = next(
            (
                target
                for other in origins
                if (target := self._extractor._units.reference(other, "DW_AT_type")) is not None
            ),
            None,
        )
        type_ = -1 if kind is None else self._types.add(kind, 0)
        constant = next(
            (other.attributes["DW_AT_const_value"] for other in origins if "DW_AT_const_value" in other.attributes),
            None,
        )
        holder = next((other for other in origins if "DW_AT_location" in other.attributes), die)
        location = self._extractor.location(holder, "DW_AT_location", self._address)
        value: int | bytes | None = None
        if location is None and constant is not None:
            value = constant.value if isinstance(constant.value, (int, bytes)) else bytes(constant.value)
            if isinstance(value, int) and constant.form in _SIGN_LESS:
                value &= (1 << 8 * _SIGN_LESS[constant.form]) - 1
        return Variable(name, type_, location or None, value)

    def _call_site(self, die: DIE) -> None:
        where = die.attributes.get("DW_AT_call_return_pc") or die.attributes.get("DW_AT_low_pc")
        if where is None or where.value != self._returning or not isinstance(where.value, int):
            return
        units = self._extractor._units
        origin = units.reference(die, "DW_AT_call_origin")
        if origin is None:
            origin = units.reference(die, "DW_AT_abstract_origin")
        entries = []
        for child in die.iter_children() if die.has_children else ():
            if child.tag not in ("DW_TAG_call_site_parameter", "DW_TAG_GNU_call_site_parameter"):
                continue
            parameter = units.reference(child, "DW_AT_call_parameter")
            if parameter is None:
                parameter = units.reference(child, "DW_AT_abstract_origin")
            entries.append(
                CallParameter(
                    _block(child, "DW_AT_location"),
                    None if parameter is None else parameter.offset - self._unit.cu_offset,
                    _block(child, "DW_AT_call_value") or _block(child, "DW_AT_GNU_call_site_value"),
                    _block(child, "DW_AT_call_data_value") or _block(child, "DW_AT_GNU_call_site_data_value"),
                )
            )
            if len(entries) >= 64:
                break
        names = () if origin is None else [name for item in self._extractor.origins(origin) for name in _linkage(item)]
        self.call = CallSite(
            tuple(entries),
            None if origin is None else self._extractor.identity(origin),
            next(iter(names), None),
            _block(die, "DW_AT_call_target") or _block(die, "DW_AT_GNU_call_site_target"),
        )


_SIGN_LESS = {"DW_FORM_data1": 1, "DW_FORM_data2": 2, "DW_FORM_data4": 4, "DW_FORM_data8": 8, "DW_FORM_sdata": 8}


class _Types:
    """A table of types, filled breadth first, so that each is read with the fewest pointers before it."""

    def __init__(self, units: Units, deadline: Deadline) -> None:
        self._units = units
        self._deadline = deadline
        self._indices: dict[tuple[int, int], int] = {}
        self._hops: list[int] = []
        self._pending: deque[tuple[DIE, int, int]] = deque()
        self.made: list[Type] = []
        self._members = 0

    def add(self, die: DIE, hops: int) -> int:
        """The index of a type, which is read by `fill`; hops: pointers that lead to it."""
        key = (id(die.cu.dwarfinfo), die.offset)
        index = self._indices.get(key)
        if index is None:
            if len(self.made) >= LIMITS.types_per_frame:
                return -1
            index = self._indices[key] = len(self.made)
            self.made.append(Type("unknown"))
            self._hops.append(hops)
            self._pending.append((die, index, hops))
        elif hops < self._hops[index]:
            # It was met at the end of a longer chain, and may have been read by its name alone.
            self._hops[index] = hops
            self._pending.append((die, index, hops))
        return index

    def fill(self) -> None:
        """Read all types that were added, and those that they refer to."""
        while self._pending:
            self._deadline.check()
            die, index, hops = self._pending.popleft()
            if hops <= self._hops[index]:
                self.made[index] = self._type(die, hops)

    def _target(self, die: DIE, hops: int) -> int:
        target = self._units.reference(die, "DW_AT_type")
        return -1 if target is None else self.add(target, hops)

    def _type(self, die: DIE, hops: int) -> Type:
        kind = _KINDS.get(str(die.tag), "unknown")
        size = _integer(die, "DW_AT_byte_size")
        if kind == "base":
            return Type(kind, _text(die, "DW_AT_name") or "", size, _integer(die, "DW_AT_encoding") or 0)
        if kind in ("pointer", "reference"):
            if hops > _HOPS:
                target = self._units.reference(die, "DW_AT_type")
                shallow = -1 if target is None else self._shallow(target)
                return Type(kind, self._mark(die), 8, target=shallow)
            return Type(kind, self._mark(die), 8, target=self._target(die, hops + 1))
        if kind in ("typedef", "qualifier"):
            name = self._qualified(die) if kind == "typedef" else str(die.tag)[7:-5]
            return Type(kind, name, size, target=self._target(die, hops))
        if kind in ("struct", "union"):
            return self._structure(die, kind, size, hops)
        if kind == "enum":
            return self._enumeration(die, size)
        if kind == "array":
            return self._array(die, size, hops)
        if kind == "function":
            return self._function(die, hops)
        if kind == "member-pointer":
            return Type(kind, "", size or 8, target=self._target(die, _HOPS + 1))
        return Type(kind, _text(die, "DW_AT_name") or "", size)

    def _shallow(self, die: DIE) -> int:
        """A type by its name alone, at the end of a chain of pointers."""
        return self.add(die, 100)

    @staticmethod
    def _mark(die: DIE) -> str:
        # Rust names its pointers.
        return _text(die, "DW_AT_name") or {"DW_TAG_reference_type": "&", "DW_TAG_rvalue_reference_type": "&&"}.get(
            str(die.tag), ""
        )

    def _qualified(self, die: DIE) -> str:
        name = _text(die, "DW_AT_name") or ""
        try:
            index = self._units.index(die.cu)
            scopes = index.around(die.offset)[:8]
            parts = [self._scope_name(die.cu, offset) for offset in scopes]
        except DAMAGE:
            return name
        return "::".join([*(part for part in parts if part), name]) if name else ""

    @staticmethod
    def _scope_name(unit: Any, offset: int) -> str:
        die = unit.get_DIE_from_refaddr(offset)
        if die.tag not in _NAMED_SCOPES:
            return ""
        return _text(die, "DW_AT_name") or ("(anonymous namespace)" if die.tag == "DW_TAG_namespace" else "")

    def _structure(self, die: DIE, kind: Kind, size: int | None, hops: int) -> Type:
        name = self._qualified(die)
        if "DW_AT_declaration" in die.attributes or hops > _HOPS:
            return Type(kind, name, size, whole=False)
        members: list[Member] = []
        parameters: list[tuple[str, int]] = []
        discriminant: Member | None = None
        variants: tuple[Variant, ...] = ()
        whole = True
        for child in die.iter_children():
            self._members += 1
            if self._members > LIMITS.members_per_frame:
                whole = False
                break
            if not self._members & 63:
                self._deadline.check()
            if child.tag in ("DW_TAG_member", "DW_TAG_inheritance"):
                member = self._member(child, hops)
                if member is not None:
                    members.append(member)
            elif child.tag == "DW_TAG_template_type_param":
                target = self._units.reference(child, "DW_AT_type")
                if target is not None:
                    parameters.append((_text(child, "DW_AT_name") or "", self.add(target, hops + 1)))
            elif child.tag == "DW_TAG_variant_part":
                discriminant, variants = self._variants(child, hops)
        return Type(
            kind, name, size, members=tuple(members), parameters=tuple(parameters), discriminant=discriminant,
            variants=variants, whole=whole,
        )  # fmt: skip

    def _member(self, die: DIE, hops: int) -> Member | None:
        attributes = die.attributes
        if "DW_AT_external" in attributes or "DW_AT_declaration" in attributes:
            return None  # a static member of DWARF 4
        target = self._units.reference(die, "DW_AT_type")
        if target is None:
            return None
        index = self.add(target, hops)
        where = attributes.get("DW_AT_data_member_location")
        offset: int | None = 0
        if where is not None:
            offset = where.value if isinstance(where.value, int) else _constant_offset(bytes(where.value))
        bits = None
        width = _integer(die, "DW_AT_bit_size")
        if width is not None:
            start = _integer(die, "DW_AT_data_bit_offset")
            if start is None:
                # DWARF 3: counted from the most significant bit of the storage unit.
                storage = _integer(die, "DW_AT_byte_size") or _integer(target, "DW_AT_byte_size") or 4
                old = _integer(die, "DW_AT_bit_offset") or 0
                start = 8 * (offset or 0) + 8 * storage - old - width
            bits = (width, start)
        base = die.tag == "DW_TAG_inheritance"
        if base and "DW_AT_virtuality" in attributes and not isinstance(where and where.value, int):
            offset = None
        return Member(_text(die, "DW_AT_name") or "", index, offset, bits, base)

    def _variants(self, die: DIE, hops: int) -> tuple[Member | None, tuple[Variant, ...]]:
        target = self._units.reference(die, "DW_AT_discr")
        discriminant = None if target is None else self._member(target, hops)
        made: list[Variant] = []
        for child in die.iter_children():
            if child.tag != "DW_TAG_variant" or len(made) >= LIMITS.enumerators:
                continue
            value = child.attributes.get("DW_AT_discr_value")
            members = [
                member
                for item in child.iter_children()
                if item.tag == "DW_TAG_member" and (member := self._member(item, hops)) is not None
            ]
            ranges = () if value is None or not isinstance(value.value, int) else ((value.value, value.value),)
            made.append(Variant(ranges, tuple(members)))
        return discriminant, tuple(made)

    def _enumeration(self, die: DIE, size: int | None) -> Type:
        enumerators: list[tuple[int, str]] = []
        target = self._units.reference(die, "DW_AT_type")
        signed = target is not None and _integer(target, "DW_AT_encoding") in _SIGNED
        for child in die.iter_children():
            if child.tag == "DW_TAG_enumerator" and len(enumerators) < LIMITS.enumerators:
                value = _integer(child, "DW_AT_const_value")
                if value is not None:
                    signed = signed or value < 0
                    enumerators.append((value, _text(child, "DW_AT_name") or ""))
        name = self._qualified(die)
        # C++ names the enumerators of scoped enumerations with their type.
        if "DW_AT_enum_class" in die.attributes:
            enumerators = [(value, f"{name}::{entry}") for value, entry in enumerators]
        return Type("enum", name, size, enumerators=tuple(enumerators), signed=signed)

    def _array(self, die: DIE, size: int | None, hops: int) -> Type:
        counts: list[int | bytes | None] = []
        for child in die.iter_children():
            if child.tag != "DW_TAG_subrange_type" or len(counts) >= 8:
                continue
            attribute = child.attributes.get("DW_AT_count") or child.attributes.get("DW_AT_upper_bound")
            if attribute is None:
                counts.append(None)
            elif isinstance(attribute.value, int) and not attribute.form.startswith("DW_FORM_ref"):
                extra = 0 if "DW_AT_count" in child.attributes else 1
                value = attribute.value
                width = _SIGN_LESS.get(attribute.form, 8)
                # An empty array of old compilers has -1 for its upper bound.
                counts.append(0 if width >= 4 and value == (1 << 8 * width) - 1 else value + extra)
            elif isinstance(attribute.value, list):
                counts.append(bytes(attribute.value))
            else:
                counts.append(None)
        name = "vector" if "DW_AT_GNU_vector" in die.attributes else ""
        return Type("array", name, size, target=self._target(die, hops), counts=tuple(counts))

    def _function(self, die: DIE, hops: int) -> Type:
        parameters: list[tuple[str, int]] = []
        for child in die.iter_children():
            if child.tag == "DW_TAG_formal_parameter" and len(parameters) < 16:
                target = self._units.reference(child, "DW_AT_type")
                parameters.append(("", -1 if target is None else self._shallow(target)))
        target = self._units.reference(die, "DW_AT_type")
        result = -1 if target is None else self._shallow(target)
        return Type("function", "", None, target=result, parameters=tuple(parameters))


def _low(units: Units, function: DIE) -> int:
    low = function.attributes.get("DW_AT_low_pc")
    if low is not None and isinstance(low.value, int):
        return low.value
    ranges = units.ranges(function)
    return ranges[0][0] if ranges else 0


def _text(die: DIE, name: str) -> str | None:
    attribute = die.attributes.get(name)
    if attribute is None or not isinstance(attribute.value, bytes):
        return None
    return bytes(attribute.value[: LIMITS.string]).decode("utf-8", "replace")


def _integer(die: DIE, name: str) -> int | None:
    attribute = die.attributes.get(name)
    return attribute.value if attribute is not None and isinstance(attribute.value, int) else None


def _block(die: DIE, name: str) -> bytes | None:
    attribute = die.attributes.get(name)
    return bytes(attribute.value) if attribute is not None and isinstance(attribute.value, (list, bytes)) else None


def _linkage(die: DIE) -> list[str]:
    name = _text(die, "DW_AT_linkage_name") or _text(die, "DW_AT_MIPS_linkage_name")
    if name:
        return [name]
    plain = _text(die, "DW_AT_name")
    # A name without linkage is told from others of its name only where the program has one such function.
    return [plain] if plain and "DW_AT_external" in die.attributes else []


def _constant_offset(expression: bytes) -> int | None:
    """DW_OP_plus_uconst N, as compilers of DWARF 2 wrote a member's offset."""
    if expression[:1] != b"\x23":
        return None
    from postmortem.values.expression import uleb

    return uleb(expression, 1)[0]


def _expressions(place: Place) -> list[bytes]:
    found = [place.frame_base]
    for scope in place.scopes:
        found += [variable.location for variable in (*scope.parameters, *scope.variables)]
    if place.call is not None:
        found += [place.call.target, *(entry.value for entry in place.call.parameters)]
    return [code for code in found if code]


_NAMES_TYPE = {0xA4: 0, 0xF4: 0, 0xA8: 0, 0xF7: 0, 0xA9: 0, 0xF9: 0, 0xA5: -1, 0xF5: -1, 0xA6: 1, 0xF6: 1}
"""Operations that name a type, and what comes before its offset: bytes, or a number (-1)."""
_NAMES_ADDRESS = {0xA1: 0, 0xFB: 0, 0xA2: 0, 0xFC: 0}
"""DW_OP_addrx and _constx with their GNU forerunners."""


def _operands(code: bytes, operations: dict[int, int]) -> list[int]:
    """Operands of some operations of an expression: every byte that can be such an operation is tried, since only a
    later look at what they name tells."""
    from postmortem.values.expression import Unavailable, uleb

    found = []
    for position, byte in enumerate(code[:-1]):
        before = operations.get(byte)
        if before is None:
            continue
        try:
            start = position + 1 + before if before >= 0 else uleb(code, position + 1)[1]
            found.append(uleb(code, start)[0])
        except (IndexError, Unavailable):
            continue
    return found
