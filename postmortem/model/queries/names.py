"""Function names, reduced to what a person calls the function."""

from __future__ import annotations

import functools
import re

_OPENING = {"(": ")", "<": ">", "{": "}", "[": "]"}
_CLOSING = frozenset(_OPENING.values())
_OPERATOR = re.compile(
    r"\boperator ?(?:\(\)|\[\]|->\*?|<=>|<<=?|>>=?|<=?|>=?|[-+*/%^&|!=~,]+|(?:new|delete)(?:\[\])?|(?<="
    r" )[\w:]+)"
)
_RUST_HASH = re.compile(r"::h[0-9a-f]{16}$")
_SUFFIX = re.compile(
    r"(?:\s+\[clone [^\]]*\]|\.(?:cold|part|isra|constprop|lto_priv|llvm)(?:\.\d+)*|@@?[A-Za-z_0-9.]+)+$"
)
_GO_RECEIVER = re.compile(r"\.\(\*([\w.]+)\)\.")
_LAMBDA = re.compile(r"\{lambda\b.*?\}(?:#\d+)?|\$_\d+|'lambda\d*'")
_CLOSURE = re.compile(r"\{\{closure\}\}|\{closure(?:#\d+|_env#\d+)?\}")
_QUALIFIER = re.compile(r"\s+(?:const|volatile|noexcept|&&?|\[abi:\w+\])+$")
_ARCH_VARIANT = re.compile(
    r"^_*((?:mem|str|wmem|wcs)[a-z]+)_(?:avx\w*|sse\w*|evex\w*|ssse\w*|erms|rtm|neon|sve|generic)\w*$"
)
_ANONYMOUS = re.compile(r"\(anonymous namespace\)|\{anonymous\}|`anonymous namespace'|_GLOBAL__N_1")

_ANGLE = re.compile(r"(?<!-)>|<| as ")
_OWN_TYPE = re.compile(
    r"(?P<reference>(?:[&*]|mut |const |dyn )*)(?!(?:core|std|alloc|test|proc_macro)(?:\[\w+\])?::)\w+(?:\[\w+\])?::"
)
"""A Rust type with the path of a crate that is none of the language's library."""

LONGEST_NAME = 4096
"""Characters of a symbol that are looked at; C++ names beyond are cut."""


@functools.lru_cache(maxsize=1 << 14)
def plain(function: str) -> str:
    """The name without arguments, template arguments, return type, clone suffix and hash.

    "std::vector<int>::at(unsigned long) const" is "std::vector::at". Lambdas and closures lose their number, a libc
    variant for one CPU its suffix ("__memmove_avx_unaligned_erms" is "memmove").
    """
    if function.startswith(("-[", "+[")) and "]" in function:
        return function[: function.index("]") + 1][:LONGEST_NAME]  # a method of Objective-C
    name = _of_own_type(_RUST_HASH.sub("", _SUFFIX.sub("", function[:LONGEST_NAME].strip())))
    name = _GO_RECEIVER.sub(r".\1.", name)
    name = _ANONYMOUS.sub("@anonymous@", _LAMBDA.sub("@lambda@", _CLOSURE.sub("@closure@", name)))
    operator = _OPERATOR.search(name)
    if operator:
        head = _without_groups(name[: operator.start()])
        name = f"{head}{operator.group().replace(' ', '_')}"
    else:
        name = _without_groups(name)
    name = _QUALIFIER.sub("", name).strip()
    name = name.rsplit(" ", 1)[-1].lstrip("*&") or function[:LONGEST_NAME]
    name = name.replace("@anonymous@", "(anonymous namespace)").replace("@lambda@", "{lambda}")
    name = name.replace("@closure@", "{closure}")
    name = name.replace("operator_", "operator ") if operator else name
    if variant := _ARCH_VARIANT.match(name):
        name = variant.group(1)
    return name.removeprefix("__GI_").removeprefix("__interceptor_")


def _of_own_type(name: str) -> str:
    """Rust's "<shop::Cart as core::ops::Drop>::drop" is "shop::Cart::drop": the program's own method of that trait.

    A library's type, and one without a path, is left to its trait, which may be the program's.
    """
    if not name.startswith("<"):
        return name
    open_groups, type_ends = 0, 0
    for match in _ANGLE.finditer(name):
        if match[0] == " as ":
            type_ends = type_ends or (match.start() if open_groups == 1 else 0)
            continue
        open_groups += 1 if match[0] == "<" else -1
        if open_groups == 0:
            of, method = name[1:type_ends], name[match.end() :]
            own = type_ends and method.startswith("::") and _OWN_TYPE.match(of)
            return of[own.end("reference") :] + method if own else name
    return name


def shown(function: str) -> str:
    """As `plain`, with a Go method's receiver as Go writes it: "main.(*registry).on"."""
    name = plain(function)
    receiver = _GO_RECEIVER.search(function)
    return name if receiver is None else name.replace(f".{receiver[1]}.", f".(*{receiver[1]}).", 1)


def _without_groups(name: str) -> str:
    """`name` without what stands in (), <>, {} and []; what an unclosed group opens is dropped."""
    kept: list[str] = []
    open_groups: list[str] = []
    for position, character in enumerate(name):
        if open_groups and character == open_groups[-1] and name[position - 1] != "-":
            open_groups.pop()
        elif character in _OPENING and position:
            open_groups.append(_OPENING[character])
        elif not open_groups and character not in _CLOSING:
            kept.append(character)
        elif not position:
            # Rust's "<T as Trait>::method": the leading group is the type itself.
            continue
    return "".join(kept)
