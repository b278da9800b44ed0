"""The system calls that a decoder needs, and a filter that refuses all others (seccomp, BPF)."""

import ctypes
import errno
import platform
import struct
from typing import Final

_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2

_LOAD, _IF_EQUAL, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_REFUSE, _UNKNOWN = (0x00050000 | number for number in (errno.EPERM, errno.ENOSYS))
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in struct seccomp_data."""
_CLONE3: Final = 435
_CLONE_THREAD: Final = 0x00010000

_ALLOWED: Final = {
    # name of the machine: (audit architecture, clone, prlimit64, numbers of what reads and writes
    # open descriptors, manages memory, waits, tells the time, starts a thread and ends)
    "x86_64": (
        0xC000003E,
        56,
        302,
        (
            # read write close fstat poll lseek mmap mprotect munmap brk
            *(0, 1, 3, 5, 7, 8, 9, 10, 11, 12),
            # rt_sigaction rt_sigprocmask rt_sigreturn pread64 readv writev sched_yield mremap
            *(13, 14, 15, 17, 19, 20, 24, 25),
            # madvise dup nanosleep getpid sendto recvfrom sendmsg recvmsg exit
            *(28, 32, 35, 39, 44, 45, 46, 47, 60),
            # gettimeofday getrusage sigaltstack gettid futex sched_getaffinity restart_syscall
            *(96, 98, 131, 186, 202, 204, 219),
            # clock_gettime clock_getres clock_nanosleep exit_group newfstatat set_robust_list
            *(228, 229, 230, 231, 262, 273),
            # getcpu getrandom rseq
            *(309, 318, 334),
        ),
    ),
    "aarch64": (
        0xC00000B7,
        220,
        261,
        (
            # dup close lseek read write readv writev pread64 ppoll newfstatat fstat
            *(23, 57, 62, 63, 64, 65, 66, 67, 73, 79, 80),
            # exit exit_group futex set_robust_list nanosleep
            *(93, 94, 98, 99, 101),
            # clock_gettime clock_getres clock_nanosleep
            *(113, 114, 115),
            # sched_getaffinity sched_yield restart_syscall sigaltstack rt_sigaction
            *(123, 124, 128, 132, 134),
            # rt_sigprocmask rt_sigreturn getrusage getcpu gettimeofday getpid gettid
            *(135, 139, 165, 168, 169, 172, 178),
            # sendto recvfrom sendmsg recvmsg brk munmap mremap mmap mprotect madvise
            *(206, 207, 211, 212, 214, 215, 216, 222, 226, 233),
            # getrandom rseq
            *(278, 293),
        ),
    ),
}

_Instruction = tuple[int, int, int, int]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse_other_calls() -> bool:
    """Refuse every other call with EPERM from now on; False where that isn't possible.

    Needs no_new_privs or root.
    """
    if platform.machine() not in _ALLOWED:
        return False
    code = _program(*_ALLOWED[platform.machine()])
    program = _Program(len(code) // 8, code)
    where = ctypes.addressof(program)
    return bool(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, where, 0, 0) == 0)


def _program(architecture: int, clone: int, prlimit: int, numbers: tuple[int, ...]) -> bytes:
    """Instructions (operation, skip if true, skip if false, value) of the filter.

    A foreign architecture kills. clone may make threads (HEVC decoders do) and no processes;
    clone3, whose flags a filter can't see, "doesn't exist", so the C library uses clone. prlimit64
    may be about this process (0) alone: siblings have the same uid.
    """
    count = len(numbers)
    instructions = (
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _UNKNOWN),
        *_by_first_argument(clone, (_IF_ANY_BIT, 0, 1, _CLONE_THREAD)),
        *_by_first_argument(prlimit, (_IF_EQUAL, 0, 1, 0)),
        *((_IF_EQUAL, count - at, 0, number) for at, number in enumerate(numbers)),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _by_first_argument(number: int, condition: _Instruction) -> tuple[_Instruction, ...]:
    """Allow the call `number` if its first argument meets the condition, refuse it if not."""
    return (
        (_IF_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        condition,
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    )
