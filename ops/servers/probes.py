"""Whether something answers on a loopback port. All raise OSError while nothing does."""

import http.client
import json
import socket
import time
from pathlib import Path

_HOST = "127.0.0.1"
_LIMIT_S = 2.0
_HEARTBEAT_S = 10.0


def exchange(port: int, request: bytes, length: int) -> bytes:
    """Send `request` to a TCP port and return up to `length` bytes of the first answer."""
    with socket.create_connection((_HOST, port), _LIMIT_S) as connection:
        connection.settimeout(_LIMIT_S)
        connection.sendall(request)
        return connection.recv(length)


def http_get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of `GET path`."""
    connection = http.client.HTTPConnection(_HOST, port, timeout=_LIMIT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer from port {port}") from error
    finally:
        connection.close()


def http_ok(port: int, path: str) -> bool:
    """Whether `GET path` answers 2xx."""
    return http_get(port, path)[0] // 100 == 2  # noqa: PLR2004 - 2xx


def heartbeat(file: Path, pid_file: Path) -> bool:
    """Whether a process said `ready` in its heartbeat file lately, and in this life of its own.

    The pid file is written at every start: an older heartbeat is that of a process now dead.
    """
    beaten_at = file.stat().st_mtime
    if beaten_at < max(time.time() - _HEARTBEAT_S, pid_file.stat().st_mtime):
        return False
    try:
        document = json.loads(file.read_bytes())
    except ValueError:  # half written: the next look sees it whole
        return False
    return isinstance(document, dict) and document.get("ready") is True
