"""Calls to receivers anywhere on the Internet, and to nothing nearer.

The name is resolved once, all its addresses are judged, and the connection goes to the very address
that was judged; certificate and Host header stay those of the name. No redirect is followed, no
proxy, cookie or idle connection is used, and no body is read.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence

import httpx

from domain.settings import Webhooks
from domain.webhooks import CallFailed, Target, may_call

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, by the system's resolver. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class HttpWebhookCalls:
    """The port `WebhookCalls` over httpx's transport, the part below redirects and cookies."""

    def __init__(
        self, policy: Webhooks, resolve: Resolve = resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        self._limit_s = policy.timeout_s
        self._loopback = policy.allow_loopback_http
        self._resolve = resolve
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls or httpx.create_ssl_context(trust_env=False),
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),  # they'd be shared by address
        )

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> int:
        """Call once; the status of the answer. Raises CallFailed, within the time limit."""
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._send(await self._address(target), target, headers, body)
        except TimeoutError:
            raise CallFailed(f"no answer within {self._limit_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise CallFailed("the connection failed") from error

    async def close(self) -> None:
        """Close what is open."""
        await self._transport.aclose()

    async def _address(self, target: Target) -> str:
        """The address to connect to. Raises CallFailed unless every one of the name's may be."""
        try:
            found = await self._resolve(target.host, target.port)
        except (OSError, UnicodeError) as error:
            raise CallFailed("the host name has no address") from error
        if not found or not all(may_call(each, loopback=self._loopback) for each in found):
            raise CallFailed("the host name leads to an address that isn't public")
        return found[0]

    async def _send(
        self, address: str, target: Target, headers: Mapping[str, str], body: bytes
    ) -> int:
        request = httpx.Request(
            "POST",
            httpx.URL(
                scheme=target.scheme, host=address, port=target.port, raw_path=target.path.encode()
            ),
            headers={"host": target.authority, **headers},
            content=body,
            extensions={"sni_hostname": target.host},
        )
        response = await self._transport.handle_async_request(request)
        await response.aclose()
        return response.status_code
