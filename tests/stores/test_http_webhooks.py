"""Webhook calls reach the address that was judged, and nothing else."""

import asyncio
import datetime as dt
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from domain.settings import Webhooks
from domain.webhooks import CallFailed, Target, target
from stores.http_webhooks import HttpWebhookCalls, Resolve
from tests.receiver import Receiver, answer

STRICT = Webhooks(timeout_s=1.0)
NEAR = Webhooks(timeout_s=1.0, allow_loopback_http=True)
NAME = "hooks.example.org"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    opened = Receiver()
    await opened.open()
    yield opened
    opened.close()


def knows(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[str]:
        assert (host, port) == (NAME, 443)
        return addresses

    return resolve


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("10.1.2.3",),
        ("169.254.169.254",),
        ("8.8.8.8", "192.168.0.1"),
        ("2606:4700::1111", "::1"),
        ("::ffff:127.0.0.1",),
        ("64:ff9b::7f00:1",),
        ("fe80::1%1",),
        (),
    ],
)
async def test_a_name_that_leads_anywhere_near_is_not_called(addresses: tuple[str, ...]) -> None:
    calls = HttpWebhookCalls(STRICT, knows(*addresses))
    with pytest.raises(CallFailed, match="isn't public"):
        await calls.post(target(f"https://{NAME}/"), {}, b"")
    await calls.close()


async def test_loopback_is_refused_unless_a_test_allows_it(receiver: Receiver) -> None:
    where = target(f"http://127.0.0.1:{receiver.port}/hook?a=b", loopback=True)
    strict, near = HttpWebhookCalls(STRICT), HttpWebhookCalls(NEAR)
    with pytest.raises(CallFailed, match="isn't public"):
        await strict.post(where, {}, b"{}")
    assert receiver.calls == []
    assert await near.post(where, {"webhook-id": "Id"}, b"{}") == 204
    [call] = receiver.calls
    assert (call.line, call.body) == ("POST /hook?a=b HTTP/1.1", b"{}")
    assert call.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert call.headers["webhook-id"] == "Id"
    await strict.close()
    await near.close()


async def test_a_name_is_resolved_once_a_call_so_that_it_cant_change_its_mind(
    receiver: Receiver,
) -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def rebinding(_: str, __: int) -> Sequence[str]:
        return answers.pop(0)

    calls = HttpWebhookCalls(NEAR, rebinding)
    where = Target("http", NAME, receiver.port, "/")
    assert await calls.post(where, {}, b"") == 204
    assert len(answers) == 1
    assert receiver.calls[0].headers["host"] == f"{NAME}:{receiver.port}"
    with pytest.raises(CallFailed, match="isn't public"):
        await calls.post(where, {}, b"")
    await calls.close()


async def test_redirects_are_answers_not_ways_and_cookies_are_forgotten(
    receiver: Receiver,
) -> None:
    there = Receiver()
    url = await there.open()
    receiver.reply = lambda _: answer(307, f"location: {url}", "set-cookie: a=b")
    calls = HttpWebhookCalls(NEAR)
    for _ in range(2):
        where = target(f"http://127.0.0.1:{receiver.port}/", loopback=True)
        assert await calls.post(where, {}, b"") == 307
    assert there.calls == []
    assert ["cookie" in call.headers for call in receiver.calls] == [False, False]
    there.close()
    await calls.close()


@pytest.mark.parametrize(
    "reply",
    [None, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 X\r\n", b"220 smtp ready\r\n", b""],
)
async def test_whoever_does_not_answer_properly_is_left_in_time(
    receiver: Receiver, reply: bytes | None
) -> None:
    receiver.reply = lambda _: reply
    calls = HttpWebhookCalls(NEAR)
    began = time.monotonic()
    with pytest.raises(CallFailed):
        await calls.post(target(f"http://127.0.0.1:{receiver.port}/", loopback=True), {}, b"")
    assert time.monotonic() - began < 3
    await calls.close()


async def test_an_endless_body_is_not_read(receiver: Receiver) -> None:
    receiver.reply = lambda _: (
        b"HTTP/1.1 200 X\r\ncontent-length: 9999999999\r\n\r\n" + b"x" * 10**6
    )
    calls = HttpWebhookCalls(NEAR)
    where = target(f"http://127.0.0.1:{receiver.port}/", loopback=True)
    assert await calls.post(where, {}, b"") == 200
    await calls.close()


async def test_a_name_nobody_answers_for_ends_the_call() -> None:
    async def nobody(_: str, __: int) -> Sequence[str]:
        raise OSError("no such name")

    async def never(_: str, __: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    for resolve, why in ((nobody, "no address"), (never, "no answer")):
        calls = HttpWebhookCalls(STRICT, resolve)
        with pytest.raises(CallFailed, match=why):
            await calls.post(target(f"https://{NAME}/"), {}, b"")
        await calls.close()


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server that is `name`, and of a client that trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert", folder / "key")
    return server, ssl.create_default_context(cafile=str(folder / "cert"))


@pytest.mark.parametrize("name", [NAME, "somebody.example.org"])
async def test_the_certificate_must_be_the_names_not_the_addresss(
    tmp_path: Path, name: str
) -> None:
    server, client = certificate(tmp_path, NAME)
    asked: list[str | None] = []
    server.sni_callback = lambda _, given, __: asked.append(given)
    receiver = Receiver()
    await receiver.open(server)

    async def here(_: str, __: int) -> Sequence[str]:
        return ["127.0.0.1"]

    calls = HttpWebhookCalls(NEAR, here, client)
    where = Target("https", name, receiver.port, "/")
    if name == NAME:
        assert await calls.post(where, {}, b"") == 204
    else:
        with pytest.raises(CallFailed, match="connection"):
            await calls.post(where, {}, b"")
    assert asked == [name]
    receiver.close()
    await calls.close()
