"""Landlock: no file system, no TCP, no signal outwards, for this process and for good (Linux 5.13).

A second line behind the system call filter, enforced by another part of the kernel.
"""

import ctypes
from typing import Final

_CREATE_RULESET, _RESTRICT_SELF = 444, 446
"""System calls; these numbers are the same on every architecture."""
_ASK_VERSION: Final = 1

_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights over files there are from each version on, as the lowest bits."""
_NETWORK_SINCE, _BIND_AND_CONNECT = 4, 0b11
_SCOPES_SINCE, _ABSTRACT_SOCKETS_AND_SIGNALS = 6, 0b11

_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr: what is refused unless a rule allows it."""

    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


def version() -> int:
    """The kernel's Landlock ABI; 0 where there is none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)))


def covers_network(abi: int) -> bool:
    """Whether this ABI knows TCP."""
    return abi >= _NETWORK_SINCE


def restrict() -> int:
    """Refuse all that the kernel's ABI can refuse, without exception; needs no_new_privs.

    Returns:
        The ABI that is in force; 0 when the kernel refused.
    """
    abi = version()
    if not abi:
        return 0
    rights = max(count for since, count in _FILE_RIGHTS.items() if since <= abi)
    ruleset = _Ruleset(
        files=(1 << rights) - 1,
        network=_BIND_AND_CONNECT if covers_network(abi) else 0,
        scopes=_ABSTRACT_SOCKETS_AND_SIGNALS if abi >= _SCOPES_SINCE else 0,
    )
    # An older kernel takes a longer structure as long as what it doesn't know is zero.
    descriptor = _libc.syscall(
        _CREATE_RULESET, ctypes.byref(ruleset), ctypes.sizeof(ruleset), ctypes.c_uint32(0)
    )
    if descriptor < 0:
        return 0
    refused = _libc.syscall(_RESTRICT_SELF, descriptor, ctypes.c_uint32(0))
    _libc.close(descriptor)
    return 0 if refused else abi
