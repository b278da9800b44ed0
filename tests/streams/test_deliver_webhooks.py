"""Webhooks are called once an event as a rule, again when that may help, and never for ever."""

import hashlib
import hmac
from base64 import b64decode
from collections.abc import Mapping

import pytest

from domain.errors import Transient
from domain.settings import Settings, Webhooks
from domain.webhooks import CallFailed, Target, Webhook
from schemas.events import PhotoRejected
from stores.memory.kafka import MemoryEventLog
from stores.memory.webhooks import MemoryWebhooks
from streams.deliver_webhooks import DeliverWebhooks
from streams.runtime.runner import StageRunner
from streams.topology import BY_NAME
from tests.fresh import fresh_id
from topics.catalog import PHOTO_REJECTED
from topics.record import Record

SECRET = "a secret no longer than it is".replace(" ", "-")
USER = fresh_id("u_")
POLICY = Webhooks(rest_after=2, rest_s=30, give_up_s=900, disable_after_s=3600)


class Scene:
    """The handler, a receiver that answers `status`, and a clock."""

    def __init__(self) -> None:
        self.hooks, self.now, self.status = MemoryWebhooks(), 1_000_000, 200
        self.calls: list[tuple[Target, Mapping[str, str], bytes]] = []
        self.handle = DeliverWebhooks(self.hooks, self, "https://e", POLICY, lambda: self.now)

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> int:
        """Be the way out."""
        self.calls.append((target, headers, body))
        if not self.status:
            raise CallFailed("the connection failed")
        return self.status

    async def hook(self) -> Webhook:
        """The webhook as it is kept."""
        kept = await self.hooks.get(USER)
        assert kept is not None
        return kept

    def event(self) -> PhotoRejected:
        """Something that happens now."""
        return PhotoRejected(
            event_id=fresh_id(),
            occurred_at=self.now,
            version=1,
            photo_id=fresh_id("ph_"),
            user_id=USER,
            reason="truncated",
            detail="",
        )


@pytest.fixture
async def scene() -> Scene:
    made = Scene()
    await made.hooks.put(Webhook(USER, "https://hooks.example.org/a", SECRET, 5))
    return made


async def test_who_has_no_webhook_is_not_called() -> None:
    scene = Scene()
    assert await scene.handle(scene.event()) == ()
    assert scene.calls == []


async def test_a_call_is_signed_and_a_redelivery_has_the_same_id(scene: Scene) -> None:
    event = scene.event()
    await scene.handle(event)
    scene.now += 60_000
    await scene.handle(event)
    (where, first, body), (_, again, same) = scene.calls
    assert where.url == "https://hooks.example.org/a"
    assert first["webhook-id"] == again["webhook-id"] == event.event_id
    assert body == same
    assert (first["webhook-timestamp"], again["webhook-timestamp"]) == ("1000", "1060")
    version, signature = again["webhook-signature"].split(",")
    text = f"{event.event_id}.1060.".encode() + body
    assert version == "v1"
    assert b64decode(signature) == hmac.new(SECRET.encode(), text, hashlib.sha256).digest()


@pytest.mark.parametrize("status", [0, 302, 400, 404, 429, 500, 503])
async def test_a_failed_call_is_tried_again_and_seen(scene: Scene, status: int) -> None:
    scene.status, event = status, scene.event()
    with pytest.raises(Transient):
        await scene.handle(event)
    hook = await scene.hook()
    assert (hook.failures, hook.failed_at) == (1, scene.now)
    assert hook.failure in ("the connection failed", f"the receiver answered {status}")
    scene.status = 204
    assert await scene.handle(event) == ()
    assert await scene.hook() == hook.succeeded()


async def test_one_that_fails_again_and_again_rests_and_costs_no_time(scene: Scene) -> None:
    scene.status = 0
    for _ in range(5):
        with pytest.raises(Transient):
            await scene.handle(scene.event())
    assert len(scene.calls) == POLICY.rest_after
    scene.now += round(POLICY.rest_s * 1000)
    scene.status = 200
    assert await scene.handle(scene.event()) == ()
    assert await scene.handle(scene.event()) == ()
    assert len(scene.calls) == POLICY.rest_after + 2


async def test_an_old_event_is_given_up_not_made_a_dead_letter(scene: Scene) -> None:
    scene.status, event = 500, scene.event()
    scene.now += round(POLICY.give_up_s * 1000)
    assert await scene.handle(event) == ()
    assert (await scene.hook()).failures == 1
    assert len(scene.calls) == 1


async def test_who_is_gone_or_fails_for_too_long_is_not_called_any_more(scene: Scene) -> None:
    scene.status = 410
    assert await scene.handle(scene.event()) == ()
    hook = await scene.hook()
    assert (hook.disabled_at, hook.failure) == (scene.now, "the receiver answered 410 Gone")
    scene.status = 200
    await scene.handle(scene.event())
    assert len(scene.calls) == 1
    await scene.hooks.put(Webhook(USER, "https://hooks.example.org/b", SECRET, 6))
    await scene.handle(scene.event())
    assert len(scene.calls) == 2


async def test_a_url_that_rules_refuse_now_is_not_called(scene: Scene) -> None:
    await scene.hooks.put(Webhook(USER, "http://127.0.0.1/", SECRET, 6))
    with pytest.raises(Transient, match="must be an https URL"):
        await scene.handle(scene.event())
    assert scene.calls == []


async def test_a_receiver_that_never_answers_fills_no_dead_letters(scene: Scene) -> None:
    """All the way through the stage's own retries, each round at its earliest."""
    scene.status = 0
    stage, log = BY_NAME["deliver_webhooks"], MemoryEventLog()
    retries = stage.retries(Settings())
    runner = StageRunner(stage, scene.handle, log, retries, lambda: scene.now)
    value = PHOTO_REJECTED.codec.encode(scene.event())
    record = Record(PHOTO_REJECTED.name, 0, 0, b"k", value, (), scene.now)
    rounds = 0
    while True:
        await runner.process(record)
        if len(log.records) == rounds:
            break
        rounds += 1
        kept = log.records[-1]
        assert kept.topic == stage.retry.name
        record = Record(kept.topic, 0, rounds, kept.key, kept.value, kept.headers, scene.now)
        scene.now += round(runner.wait_s(record) * 1000)
    assert 900 / 60 <= rounds <= retries.rounds
    assert len(scene.calls) == rounds + 1
