"""What the decoder pool and its children say to each other: length-prefixed JSON, then raw bytes.

The parent trusts none of it: lengths are bounded and every message is checked against its type.
"""

import socket
import time
from collections.abc import Callable

import msgspec

from domain.renditions import Focus, RejectionReason, VariantName

MAX_JOB_BYTES = 1024
_MAX_MESSAGE_BYTES = 8192
_LENGTH_BYTES = 4


class Job(msgspec.Struct, frozen=True):
    """To a worker, in one message with the file's descriptor."""

    declared_type: str
    focus: Focus | None


class Ready(msgspec.Struct, frozen=True, tag=True):
    """A worker is locked down; `missing` are the protections that the kernel refused."""

    missing: tuple[str, ...]


class VariantHead(msgspec.Struct, frozen=True):
    """One variant; its bytes follow the message, in this order."""

    name: VariantName
    width: int
    height: int
    size_bytes: int


class Done(msgspec.Struct, frozen=True, tag=True):
    """A job's result."""

    width: int
    height: int
    placeholder: str
    phash: str
    variants: tuple[VariantHead, ...]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The upload can never become a photo."""

    reason: RejectionReason
    detail: str


class Exited(msgspec.Struct, frozen=True, tag=True):
    """The worker's process has ended, with this exit code or minus the signal's number."""

    code: int


Patience = Callable[[], float]
"""Seconds to wait for more before asking again; raises TimeoutError when there was time enough."""

Message = Ready | Done | Refused | Exited
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def send(stream: socket.socket, message: Message, *payload: bytes) -> None:
    """Write one message and the raw bytes that belong to it. Raises OSError."""
    head = msgspec.json.encode(message)
    stream.sendall(b"".join((len(head).to_bytes(_LENGTH_BYTES, "big"), head, *payload)))


def until(deadline: float) -> Patience:
    """Wait until this time of the monotonic clock."""

    def left_s() -> float:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    return left_s


def receive(stream: socket.socket, patience: Patience) -> Message:
    """Read one message. Raises EOFError, OSError, TimeoutError, msgspec.MsgspecError."""
    length = int.from_bytes(read_exactly(stream, _LENGTH_BYTES, patience), "big")
    if length > _MAX_MESSAGE_BYTES:
        raise msgspec.DecodeError(f"a message of {length} bytes")
    return _decoder.decode(read_exactly(stream, length, patience))


def read_exactly(stream: socket.socket, size: int, patience: Patience) -> bytes:
    """Read `size` bytes. Raises EOFError, OSError, TimeoutError."""
    data = bytearray()
    while len(data) < size:
        stream.settimeout(patience())
        try:
            part = stream.recv(size - len(data))
        except TimeoutError:
            continue
        if not part:
            raise EOFError("end of stream")
        data += part
    return bytes(data)
