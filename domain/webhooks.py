"""Webhooks: whom to call, with what, signed how, and what a failed call means. Pure.

Signatures follow Standard Webhooks 1.0: `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import re
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from domain import settings
from domain.addresses import is_public
from domain.media import picture_path
from domain.post_json import rfc3339
from schemas.events import PhotoRejected, PostPublished

GONE = 410
GONE_REASON = "the receiver answered 410 Gone"

_URL_LENGTH = 2048
_PORTS = frozenset({443, 8443})
_SECRET = re.compile(r"[!-~]{16,256}")
_PREFIX = "whsec_"
_KEY_BYTES = 16
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)+(?=[a-z])(?:{_LABEL})")
"""Two labels or more, the last no number: `0x7f.1` and `2130706433` are addresses in disguise."""
_NEAR = re.compile(r"(?:.*\.)?(?:localhost|local|internal|home\.arpa|onion)")


class CallFailed(Exception):
    """A call that was not answered with success; the message says why and names no address."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to call: `path` with its query, `host` a name or an address without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header: no port when it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        own = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == own else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The one spelling of it."""
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A user's receiver and how its last calls went; times in Unix milliseconds.

    `set_at` tells one setting from the next: what is learnt of an old one doesn't touch a new one.
    """

    user_id: str
    url: str
    secret: str = field(repr=False)
    set_at: int
    failures: int = 0
    failing_since: int | None = None
    failed_at: int | None = None
    failure: str | None = None
    disabled_at: int | None = None

    def failed(self, why: str, now: int, disable_after_s: float) -> "Webhook":
        """After one more failed call; disabled when it is gone, or has failed for too long."""
        since = self.failing_since or now
        over = why == GONE_REASON or now - since >= disable_after_s * 1000
        return replace(
            self,
            failures=self.failures + 1,
            failing_since=since,
            failed_at=now,
            failure=why,
            disabled_at=now if over else None,
        )

    def succeeded(self) -> "Webhook":
        """After a call that was answered with success."""
        return Webhook(self.user_id, self.url, self.secret, self.set_at)

    def rests(self, now: int, policy: settings.Webhooks) -> bool:
        """Whether it failed so often in a row that it isn't called for a while."""
        tired = self.failures >= policy.rest_after
        return tired and now < (self.failed_at or 0) + policy.rest_s * 1000


def target(url: str, *, loopback: bool = False) -> Target:
    """Read a receiver's URL. Raises ValueError, in words for who set it.

    Args:
        url: https on port 443 or 8443, a public address or a name that may have one.
        loopback: also allow this machine's own addresses, with http and any port.
    """
    if len(url) > _URL_LENGTH or not re.fullmatch(r"[!-~]+", url) or {"\\", "#"} & set(url):
        raise ValueError("must be a URL of 1 to 2048 visible ASCII characters, without # and \\")
    parts = urlsplit(url)
    host = parts.hostname or ""
    near = loopback and _is_loopback(host)
    if parts.scheme != "https" and not (near and parts.scheme == "http"):
        raise ValueError("must be an https URL")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("its port is no port") from None
    port = {"https": 443, "http": 80}[parts.scheme] if port is None else port
    if port not in _PORTS and not near:
        raise ValueError("its port must be 443 or 8443")
    if not (near or _is_far(host)):
        raise ValueError("its host must be a full domain name or a public address")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def may_call(address: str, *, loopback: bool) -> bool:
    """Whether a name may lead to this address. Raises ValueError when it is none."""
    return is_public(address) or (loopback and ipaddress.ip_address(address).is_loopback)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_far(host: str) -> bool:
    try:
        return is_public(host)
    except ValueError:
        return bool(_NAME.fullmatch(host)) and not _NEAR.fullmatch(host)


def signing_key(secret: str) -> bytes:
    """The key of a secret: its own bytes, or what stands behind `whsec_` in base64.

    Raises ValueError, in words for who set it.
    """
    if not _SECRET.fullmatch(secret):
        raise ValueError("must be 16 to 256 visible ASCII characters")
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("behind whsec_ it must be base64") from None
    if len(key) < _KEY_BYTES:
        raise ValueError("behind whsec_ it must hold 16 bytes or more")
    return key


def signed(secret: str, event_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers of a call; `at_s` is the time of this try, the id is the same for all."""
    text = b".".join((event_id.encode(), str(at_s).encode(), body))
    digest = hmac.new(signing_key(secret), text, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "user-agent": "photofeed-webhooks",
        "webhook-id": event_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def payload(event: PostPublished | PhotoRejected, edge_base: str) -> bytes:
    """The body of a call; the same event gives the same bytes."""
    if isinstance(event, PostPublished):
        urls = {
            each.name: edge_base + picture_path(event.post_id, each.hash, each.name)
            for each in event.variants
        }
        kind, photo_id, at = "photo.published", event.post_id, event.published_at
        told: dict[str, object] = {"urls": urls}
    else:
        kind, photo_id, at = "photo.rejected", event.photo_id, event.occurred_at
        told = {"reason": event.reason}
    document = {"event_id": event.event_id, "type": kind, "photo_id": photo_id, "at": rfc3339(at)}
    return json.dumps({**document, **told}).encode()
