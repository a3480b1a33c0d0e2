"""What a result is worth nothing without: where and with what it was measured."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import lockfree
from lockfree.bench import processors


@dataclass(frozen=True, slots=True)
class Environment:
    """Machine, interpreter, versions, date and command of a run."""

    cpu: str
    cores: int
    system: str
    interpreter: str
    free_threaded: bool
    gil_enabled: bool
    lockfree: str
    implementation: str
    peers: dict[str, str]
    placement: str
    """Where threads run, and whether it is known that they waited for processors."""
    date: str
    command: str


def describe(peers: dict[str, str], command: str, *, pin: bool = True) -> Environment:
    """Return the environment of this process, now, and of the threads that it will measure."""
    return Environment(
        cpu=_cpu(),
        cores=cores(),
        system=platform.platform(),
        interpreter=f"{platform.python_implementation()} {platform.python_version()}",
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        gil_enabled=gil_enabled(),
        lockfree=lockfree.__version__,
        implementation=lockfree.IMPLEMENTATION,
        peers=peers,
        placement=processors.described(pin=pin),
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
        command=command,
    )


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gil_enabled() -> bool:
    """Whether the GIL is on in this process, now."""
    enabled = getattr(sys, "_is_gil_enabled", None)  # since 3.13
    return enabled is None or bool(enabled())


def _cpu() -> str:
    """Return the processor's name; only Linux has it where Python can read it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
