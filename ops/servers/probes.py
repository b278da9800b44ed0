"""Whether something answers on a loopback port. All raise OSError while nothing does."""

import http.client
import json
import socket
import time
from pathlib import Path

_HOST = "127.0.0.1"
_LIMIT_S = 2.0


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


def heartbeat(file: Path, limit_s: float = 10.0) -> bool:
    """Whether the process behind a heartbeat file said `ready` within the last `limit_s`."""
    if time.time() - file.stat().st_mtime > limit_s:
        return False
    try:
        document = json.loads(file.read_bytes())
    except ValueError:  # half written: the next look sees it whole
        return False
    return isinstance(document, dict) and document.get("ready") is True
