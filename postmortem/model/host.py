"""The machine or container that the process ran on."""

from __future__ import annotations

import msgspec


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes. What the source does not say is None. `limits`: rlimits as the source words them."""

    operating_system: str | None = None
    platform: str | None = None
    """System and CPU as a JVM was built for them: linux-amd64, windows-x86, bsd-aarch64 (macOS)."""
    libc: str | None = None
    """glibc 2.36, musl 1.2.4."""
    kernel: str | None = None
    cpu: str | None = None
    cpus: int | None = None
    """Processors that the process could use."""
    memory: int | None = None
    memory_available: int | None = None
    swap: int | None = None
    """0 where the source says that there is none."""
    swap_free: int | None = None
    commit_limit: int | None = None
    commit_available: int | None = None
    committed: int | None = None
    """What the system promises to all processes together, what is left of it and what is promised. Linux: CommitLimit,
    which it enforces with vm.overcommit_memory=2 only, limit - Committed_AS (below 0 where it does not), Committed_AS.
    Windows, which always enforces it: memory and page files together, and what is left."""
    container: str | None = None
    """The container technology (cgroupv1, cgroupv2), where the process ran in one."""
    memory_limit: int | None = None
    """The container's limit."""
    memory_used: int | None = None
    """What the container used of it."""
    cpu_limit: float | None = None
    """The container's limit, in processors."""
    tasks: int | None = None
    """Threads of all processes in the container."""
    tasks_limit: int | None = None
    """How many it may have (the pids controller)."""
    meminfo: dict[str, int] = {}
    """/proc/meminfo; bytes, or counts of the rows without a unit."""
    parameters: dict[str, str] = {}
    """Kernel parameters by their sysctl names: vm.max_map_count, kernel.threads-max, …"""
    container_facts: dict[str, str] = {}
    """All that the source says of the container, in its words."""
    process_memory: dict[str, str] = {}
    """What the process itself held, in the source's words: Virtual Size, Resident Set Size, WorkingSet, …"""
    details: dict[str, str] = {}
    """Further facts by the source's names: uptime, huge pages, steal, the processor's model and frequencies."""
    cpu_features: tuple[str, ...] = ()
    """Instruction sets and abilities, by the names that the VM uses."""
    limits: dict[str, str] = {}
    load: tuple[float, ...] = ()
    """Load averages over 1, 5 and 15 minutes."""
    virtualization: str | None = None
