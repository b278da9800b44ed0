"""Child side of the decoder: a zygote with everything imported, and the workers it forks.

`python -m stores.decoder.child FD` is the zygote. On FD (a sequenced-packet socket) it is sent one
end of a stream socket for each worker that is wanted. Over that stream the parent sees, in frames:
the worker's process descriptor, `Ready` (once it is locked down), an answer to each job, and at the
end `Exited` (from the zygote, which reaps). Nobody outlives the parent: the zygote leaves at the
end of file, workers die with the zygote.
"""

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import traceback
from typing import IO, NoReturn

import msgspec
from PIL import Image

from domain.renditions import Rejected
from stores.decoder import wire
from stores.decoder.pillow import render
from stores.decoder.sandbox import Limits, limit_cpu, lock_down

_WARM_UP = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF")
_STREAM = 3
"""The one descriptor above standard error that a worker keeps."""


def main(control_fd: int, limits: Limits) -> None:
    """Fork a worker for every stream that arrives; tell each stream how its worker ended."""
    control = socket.socket(fileno=control_fd)
    warm_up()
    gc.freeze()  # workers share what is imported: the collector would copy its pages
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    _bury(key, selector)
                elif not _start_worker(control, limits, selector):
                    return _end(selector)


def warm_up() -> None:
    """Render a picture of every format once, so that a locked-down worker imports nothing.

    Noise, because a picture without detail doesn't reach every step.
    """
    noise = Image.effect_noise((320, 240), 64).convert("RGB")
    for kind in _WARM_UP:
        with os.fdopen(os.memfd_create("warm-up"), "w+b") as file:
            noise.save(file, kind)
            declared = "image/heic" if kind == "HEIF" else f"image/{kind.lower()}"
            render(file, declared, None)
    with contextlib.suppress(Rejected), os.fdopen(os.memfd_create("warm-up"), "w+b") as file:
        file.write(b"\xff\xd8\xff\xe0 not a picture")
        render(file, "image/jpeg", None)


def _start_worker(control: socket.socket, limits: Limits, selector: selectors.BaseSelector) -> bool:
    """Take a stream and fork its worker; False when the parent is gone."""
    _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    if not descriptors:
        return False
    stream = socket.socket(fileno=descriptors[0])
    pid = os.fork()
    if pid == 0:
        _be_worker(stream, limits)
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, stream))
    return True


def _bury(key: selectors.SelectorKey, selector: selectors.BaseSelector) -> None:
    """Reap a worker and tell the parent how it ended."""
    pid, stream = key.data
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError), stream:
        wire.send(stream, wire.Exited(code=os.waitstatus_to_exitcode(status)))
    selector.unregister(key.fileobj)
    os.close(key.fd)


def _end(selector: selectors.BaseSelector) -> None:
    """Kill and reap every worker that is left."""
    for key in list(selector.get_map().values()):
        if key.data is not None:
            signal.pidfd_send_signal(key.fd, signal.SIGKILL)
            _bury(key, selector)


def _be_worker(stream: socket.socket, limits: Limits) -> NoReturn:
    """Serve one stream until its end; never returns into the zygote's loop."""
    status = 1
    try:
        os.dup2(stream.detach(), _STREAM)
        os.closerange(_STREAM + 1, os.sysconf("SC_OPEN_MAX"))  # the siblings' streams, the control
        with socket.socket(fileno=_STREAM) as own:
            process = os.pidfd_open(os.getpid())
            socket.send_fds(own, [b"\0"], [process])
            os.close(process)
            wire.send(own, wire.Ready(missing=lock_down(limits)))
            _serve(own, limits)
        status = 0
    except Exception:  # noqa: BLE001 - the process ends here whatever it was
        traceback.print_exc()
    finally:
        os._exit(status)


def _serve(stream: socket.socket, limits: Limits) -> None:
    """Answer jobs, each a message with the descriptor of the file to decode."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(stream, wire.MAX_JOB_BYTES, 1)
        if not message:
            return
        job = msgspec.json.decode(message, type=wire.Job)
        limit_cpu(limits.cpu_s)
        with os.fdopen(descriptors[0], "rb") as file:
            answer, payload = _work(file, job)
        wire.send(stream, answer, *payload)


def _work(file: IO[bytes], job: wire.Job) -> tuple[wire.Done | wire.Refused, list[bytes]]:
    """One job's answer and the bytes that follow it."""
    try:
        picture = render(file, job.declared_type, job.focus)
    except Rejected as rejected:
        return wire.Refused(rejected.reason, rejected.detail), []
    heads = tuple(
        wire.VariantHead(variant.name, variant.width, variant.height, len(variant.data))
        for variant in picture.variants
    )
    done = wire.Done(picture.width, picture.height, picture.placeholder, picture.phash, heads)
    return done, [variant.data for variant in picture.variants]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    main(int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Limits))
