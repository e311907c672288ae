"""The package note of a real file, and damaged ones."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from parsers.elf.module import read_image
from parsers.elf.package import package

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
METADATA = '{"type":"deb","os":"debian","name":"shop","version":"1.2-3","architecture":"amd64"}'


def of(content: bytes) -> dict[str, str]:
    def read(address: int, size: int) -> bytes | None:
        data = content[address : address + size] if address >= 0 else b""
        return data if len(data) == size else None

    image = read_image(read, 0)
    return {} if image is None else package(read, image)


def build(folder: Path, *flags: str) -> bytes:
    (folder / "one.c").write_text("int one(void) { return 1; }")
    subprocess.run(["gcc", "-shared", "-fPIC", "one.c", "-o", "one.so", *flags], cwd=folder, check=True)
    return (folder / "one.so").read_bytes()


def test_package_note(tmp_path: Path) -> None:
    made = of(build(tmp_path, "-Xlinker", f"--package-metadata={METADATA}"))
    assert (made["name"], made["version"], made["type"]) == ("shop", "1.2-3", "deb")


def test_a_module_without_one(tmp_path: Path) -> None:
    assert of(build(tmp_path)) == {}


def test_a_note_that_is_no_json(tmp_path: Path) -> None:
    content = build(tmp_path, "-Xlinker", f"--package-metadata={METADATA}")
    assert of(content.replace(b'{"type"', b'["type"')) == {}
