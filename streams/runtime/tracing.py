"""W3C trace context in record headers (https://www.w3.org/TR/trace-context/, level 1)."""

import re
import secrets

from topics.record import Headers

HEADER = "traceparent"
_FORM = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def child_of(headers: Headers) -> bytes:
    """A traceparent in the trace that `headers` belong to, in a new one when they name none."""
    given = next((value for name, value in headers if name == HEADER), b"")
    match = _FORM.fullmatch(given)
    known = match is not None and match[1].strip(b"0") and match[2].strip(b"0")
    trace_id, flags = (match[1], match[3]) if match and known else (_random(16), b"01")
    return b"-".join((b"00", trace_id, _random(8), flags))


def _random(size: int) -> bytes:
    return secrets.token_bytes(size).hex().encode()
