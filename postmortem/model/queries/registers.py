"""Registers by role, under the names that cores and logs of all machines have for them."""

from __future__ import annotations

STACK_POINTERS = ("rsp", "sp", "esp")
FRAME_POINTERS = ("rbp", "ebp")
PROGRAM_COUNTERS = ("rip", "pc")
THREAD_POINTERS = ("fs_base",)
