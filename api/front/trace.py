"""W3C Trace Context: continue the caller's trace or start one, and hand it to the events."""

import re
import secrets
from typing import Any

_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


def of(state: dict[str, Any]) -> str:
    """The traceparent of the call with this state: made when the first event wants it."""
    known: str | None = state.get("traceparent")
    if known is None:
        sent = state["sent"].get(b"traceparent", b"").decode("latin-1")
        known = state["traceparent"] = continued(sent)
    return known


def continued(traceparent: str | None) -> str:
    """A traceparent for our own span: of the caller's trace when theirs is well-formed."""
    known = _FORM.fullmatch(traceparent or "")
    trace_id, flags = known.groups() if known else (secrets.token_hex(16), "01")
    return f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"
