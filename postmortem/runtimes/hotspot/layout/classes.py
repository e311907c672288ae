"""Classes of the boot loader by name: those that the VM's table of well-known ones leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postmortem.runtimes.hotspot.heap.metaspace import class_links, classes_of, loader_data

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postmortem.runtimes.hotspot.layout.oops import Oops
    from postmortem.runtimes.hotspot.layout.reading import Reading


def boot_classes(vm: Reading, oops: Oops, names: Iterable[str]) -> dict[str, int]:
    """Klass* by name (java/lang/String) of those classes that the boot loader has loaded."""
    wanted = set(names)
    links = class_links(vm)
    loader_at = vm.offset("ClassLoaderData._class_loader")
    if links is None or loader_at is None:
        return {}
    handle = vm.type_string("ClassLoaderData._class_loader") == "OopHandle"
    hidden_at = vm.offset("ClassLoaderData._has_class_mirror_holder", "ClassLoaderData._is_anonymous")
    found: dict[str, int] = {}
    for data in loader_data(vm):
        loader = oops.handle(data + loader_at) if handle else vm.word(data + loader_at)
        if loader or (hidden_at is not None and vm.byte(data + hidden_at)):
            continue
        for klass in classes_of(vm, data, *links):
            name = oops.klass_name(klass)
            if name in wanted:
                found[name] = klass
                if len(found) == len(wanted):
                    return found
    return found
