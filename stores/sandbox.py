"""Locking a process down before it touches hostile bytes (Linux).

Everything here is one way: after `lock_down` the process can't get back what it gave away.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
from typing import Final

import msgspec

_CLONE_NEWNET: Final = 0x40000000
_CLONE_NEWUSER: Final = 0x10000000
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_SIGKILL: Final = 9
_NOBODY: Final = 65534

NETWORK_BARRIERS: Final = frozenset({"network namespace", "system call filter"})
"""What `lock_down` may miss; either one alone keeps the process off the network."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)


class Limits(msgspec.Struct, frozen=True):
    """What one decoder process may use."""

    address_space_bytes: int = 2 << 30
    cpu_s: int = 20
    open_files: int = 64


class SandboxError(Exception):
    """The kernel refused a protection that can't be done without."""


def lock_down(limits: Limits) -> tuple[str, ...]:
    """Give away everything a decoder doesn't need; the names of protections the kernel refused.

    Limits on memory, files and processes, no core dump, no way to gain privileges, death together
    with the parent, an empty network namespace, the uid nobody (when root), and a system call
    filter. CPU time is limited per job, by `limit_cpu`.

    Raises:
        SandboxError: a protection every Linux has was refused.
    """
    # Unsharing as nobody needs a user namespace, so root gives up the network before its uid.
    missing = [] if _leave_network() else ["network namespace"]
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
    if not _filter_system_calls():
        missing.append("system call filter")
    return tuple(missing)


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


# --- system call filter (seccomp, classic BPF) ---------------------------------------------------

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = (0x00050000 | number for number in (errno.EPERM, errno.ENOSYS))
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in struct seccomp_data."""
_X32_BIT: Final = 0x40000000
_CLONE3: Final = 435
_CLONE_THREAD: Final = 0x00010000

_NEW_CALLS: Final = (424, 425, 434, 437, 438)
"""pidfd_send_signal, io_uring_setup, pidfd_open, openat2, pidfd_getfd: everywhere alike."""

_REFUSED: Final = {
    # name of the machine: (audit architecture, number of clone, numbers of what makes a socket, a
    # process, a file or a signal, or looks into another process, the kernel's keys or counters)
    "x86_64": (
        0xC000003E,
        56,
        (
            # open socket connect accept bind listen socketpair fork vfork execve kill
            *(2, 41, 42, 43, 49, 50, 53, 57, 58, 59, 62),
            # rename mkdir rmdir creat link unlink symlink chmod chown ptrace
            *(82, 83, 84, 85, 86, 87, 88, 90, 92, 101),
            # add_key request_key keyctl openat unlinkat renameat accept4 perf_event_open
            *(248, 249, 250, 257, 263, 264, 288, 298),
            # process_vm_readv process_vm_writev bpf execveat userfaultfd
            *(310, 311, 321, 322, 323),
        ),
    ),
    "aarch64": (
        0xC00000B7,
        220,
        (
            # unlinkat renameat openat ptrace kill socket socketpair bind listen accept connect
            *(35, 38, 56, 117, 129, 198, 199, 200, 201, 202, 203),
            # add_key request_key keyctl execve perf_event_open accept4
            *(217, 218, 219, 221, 241, 242),
            # process_vm_readv process_vm_writev bpf execveat userfaultfd
            *(270, 271, 280, 281, 282),
        ),
    ),
}


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _filter_system_calls() -> bool:
    """Refuse the calls above with EPERM from now on; False where that isn't possible."""
    if platform.machine() not in _REFUSED:
        return False
    code = _program(*_REFUSED[platform.machine()])
    program = _Program(len(code) // 8, code)
    where = ctypes.addressof(program)
    return bool(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, where, 0, 0) == 0)


def _program(architecture: int, clone: int, numbers: tuple[int, ...]) -> bytes:
    """Instructions (operation, skip if true, skip if false, value) of the filter.

    A foreign architecture kills. clone may make threads (HEVC decoders do) and no processes;
    clone3, whose flags a filter can't see, "doesn't exist", so the C library uses clone.
    """
    count = len(numbers)
    instructions = (
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _EPERM),
        (_IF_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ENOSYS),
        (_IF_EQUAL, 0, 4, clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_IF_ANY_BIT, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EPERM),
        *((_IF_EQUAL, count - at, 0, number) for at, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EPERM),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
