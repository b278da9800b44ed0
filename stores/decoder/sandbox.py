"""Locking a process down before it touches hostile bytes (Linux).

Everything here is one way: after `lock_down` the process can't get back what it gave away.
"""

import ctypes
import os
import resource
from typing import Final

import msgspec

from stores.decoder import landlock, seccomp

_CLONE_NEWNET: Final = 0x40000000
_CLONE_NEWUSER: Final = 0x10000000
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_SIGKILL: Final = 9
_NOBODY: Final = 65534

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)


class Limits(msgspec.Struct, frozen=True):
    """What one decoder process may use.

    Attributes:
        address_space_bytes: a HEIC of 33 megapixels needs 0.95 GB of it, 0.64 GB of them resident.
        cpu_s: for each job; the same HEIC needs about 2.
        open_files: descriptors.
    """

    address_space_bytes: int = 2 << 30
    cpu_s: int = 8
    open_files: int = 64


class SandboxError(Exception):
    """The kernel refused a protection that can't be done without."""


def lock_down(limits: Limits) -> tuple[str, ...]:
    """Give away everything a decoder doesn't need; the names of protections the kernel refused.

    Limits on memory, files and processes, no core dump, no way to gain privileges, death together
    with the parent, an empty network namespace, the uid nobody (when root), Landlock, and a system
    call filter. Files and network are each behind two of them; a network namespace that is refused
    counts as missing only where Landlock doesn't know TCP either. CPU time is limited per job, by
    `limit_cpu`.

    Raises:
        SandboxError: a protection every Linux has was refused.
    """
    # Unsharing as nobody needs a user namespace, so root gives up the network before its uid.
    own_network = _leave_network()
    for kind, value in (
        (resource.RLIMIT_AS, limits.address_space_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    # After the change of uid, which would reset it.
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    abi = landlock.restrict()
    protections = {
        "Landlock": abi > 0,
        "network namespace": own_network or landlock.covers_network(abi),
        "system call filter": seccomp.refuse_other_calls(),
    }
    return tuple(name for name, there in protections.items() if not there)


def limit_cpu(cpu_s: int) -> None:
    """Allow this much more processor time, to the next full second; then SIGXCPU ends us."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime) + 1 + cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _leave_network() -> bool:
    """Move into a network namespace without any interface; False when the kernel won't."""
    return any(
        _libc.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET)
    )


def _prctl(option: int, value: int) -> None:
    """Call prctl(2). Raises SandboxError."""
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise SandboxError(f"prctl {option}: {os.strerror(ctypes.get_errno())}")
