"""Runs inside gdb: prints arguments and locals of the crashing thread's frames as JSON.

Each value in the words of gdb's `bt -full`, nested structures as {...}; frames by pc and level of inlining.
A line AT says before each variable which one comes: gdb aborts on some, which $POSTMORTEM_GDB_ABORTS then names.
"""

from __future__ import annotations

import contextlib
import json
import os
import re

import gdb

for setting in (
    "print pretty off", "print elements 80", "print characters unlimited", "print repeats unlimited",
    "print null-stop off", "print symbol off", "print max-depth 6", "print entry-values no",
    "print frame-arguments all", "print static-members off", "print object off", "print vtbl off", "print finish on",
    "print demangle on",
):  # fmt: skip
    with contextlib.suppress(gdb.error):  # a setting of a later gdb
        gdb.execute(f"set {setting}")

ABORTS = set(os.environ.get("POSTMORTEM_GDB_ABORTS", "").split())
SCALARS = {gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_ENUM, gdb.TYPE_CODE_PTR}


def shown(symbol, frame):
    value = symbol.value(frame)
    if value.is_optimized_out:
        return {"kind": "optimized out"}
    base = value.type.strip_typedefs()
    made = {"text": value.format_string(), "kind": "other"}
    if "currently go" in gdb.execute("show language", to_string=True):
        # gdb writes where the bytes of a string lie before them; none is a pointer to characters, as in C.
        made["text"] = re.sub(r'\b0x[0-9a-f]+ (?=")', "", made["text"])
    if base.code in SCALARS:
        made["kind"] = "pointer" if base.code == gdb.TYPE_CODE_PTR else "scalar"
        made["number"] = int(value) & (1 << 8 * base.sizeof) - 1
        made["size"] = base.sizeof
    elif base.code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        made["kind"] = "reference"
        made["number"] = int(value.referenced_value().address)
    return made


def variables(frame, level):
    arguments, found = [], []
    position = 0
    try:
        block = frame.block()
    except RuntimeError:
        return [], []
    while block is not None:
        for symbol in block:
            if not (symbol.is_argument or symbol.is_variable) or symbol.addr_class == gdb.SYMBOL_LOC_UNRESOLVED:
                continue
            position += 1
            place = f"{level}:{position}"
            print("AT", place, flush=True)
            try:
                made = {"kind": "error", "text": "gdb aborts"} if place in ABORTS else shown(symbol, frame)
            except Exception as error:  # gdb says in words what it cannot read
                made = {"kind": "error", "text": str(error)}
            (arguments if symbol.is_argument else found).append([symbol.print_name, made])
        if block.function is not None:
            break
        block = block.superblock
    return arguments, found


gdb.execute("thread 1", to_string=True)
signals = 0
frames: list[list[object]] = []
frame = gdb.newest_frame()
while frame is not None and len(frames) < 60:
    if frame.type() != gdb.TAILCALL_FRAME:
        frame.select()  # values are printed in the language of the selected frame
        signal = frame.type() == gdb.SIGTRAMP_FRAME
        arguments, found = ([], []) if signal else variables(frame, len(frames))
        frames.append([frame.pc(), "<signal>" if signal else frame.name(), arguments, found])
    try:
        frame = frame.older()
    except gdb.error:
        break
print("VALUES " + json.dumps(frames))
