"""PATCH and DELETE /posts/{id}: the owner's, once, and gone for every reader."""

from typing import Any

import pytest

from domain.entities import PhotoStatus
from domain.errors import StoreAway
from domain.photo_states import DELETED_VERSION
from schemas.events import Event, PostDeleted, PostEdited
from tests.api.world import World, is_problem
from tests.fresh import fresh_id
from topics.topic import Topic


@pytest.fixture
def told(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Events as they are published; they reach Kafka too."""
    events: list[Event] = []
    publish = world.stores.events.publish

    async def noted(topic: Topic[Any], event: Event, headers: Any = None) -> None:
        await publish(topic, event, headers)
        events.append(event)

    monkeypatch.setattr(world.stores.events, "publish", noted)
    return events


async def test_a_deleted_post_is_gone_from_every_answer(world: World, told: list[Event]) -> None:
    ann, bob = await world.someone(), await world.someone()
    gone, kept = await world.post(ann), await world.post(ann)
    path = f"/posts/{gone.photo_id}"
    await world.call("POST", f"/follow/{ann.user_id}", bob)
    assert len((await world.call("GET", "/feed", bob)).json()["posts"]) == 2
    for _ in range(2):
        answer = await world.call("DELETE", path, ann)
        assert answer.status_code == 202
        assert answer.json() == {"post_id": gone.photo_id, "status": "deleted"}
    [event] = told
    assert isinstance(event, PostDeleted)
    assert (event.post_id, event.version) == (gone.photo_id, DELETED_VERSION)
    for who in (ann, bob):
        for method, part in (("GET", ""), ("GET", "/comments")):
            is_problem(await world.call(method, path + part, who), 410, "gone")
        grid = (await world.call("GET", f"/users/{ann.user_id}/feed", who)).json()
        assert [post["post_id"] for post in grid["posts"]] == [kept.photo_id]
        profile = (await world.call("GET", f"/users/{ann.user_id}", who)).json()
        assert profile["post_count"] == 1
    feed = (await world.call("GET", "/feed", bob)).json()
    assert [post["post_id"] for post in feed["posts"]] == [kept.photo_id]
    is_problem(await world.call("POST", f"/likes/{gone.photo_id}", bob), 410, "gone")
    is_problem(await world.call("PATCH", path, ann, json={"caption": "back"}), 410, "gone")
    status = (await world.call("GET", f"/photos/{gone.photo_id}/status", ann)).json()
    assert (status["status"], status["urls"]) == ("deleted", None)


async def test_only_the_owner_deletes_and_edits_and_only_posts(
    world: World, told: list[Event]
) -> None:
    ann, eve = await world.someone(), await world.someone()
    post, awaited = await world.post(ann), await world.awaited(ann)
    unknown = await world.call("DELETE", f"/posts/{fresh_id('ph_')}", eve)
    for method in ("DELETE", "PATCH"):
        for who, photo in ((eve, post), (eve, awaited), (ann, awaited)):
            answer = await world.call(method, f"/posts/{photo.photo_id}", who, json={})
            is_problem(answer, 404, "not-found")
            assert answer.content == unknown.content, "must not tell that it exists"
    assert told == []
    stored = await world.stores.photos.get(post.photo_id)
    assert stored is not None
    assert stored.status is PhotoStatus.PUBLISHED
    await world.call("DELETE", f"/posts/{post.photo_id}", ann)
    is_problem(await world.call("DELETE", f"/posts/{post.photo_id}", eve), 404, "not-found")


async def test_an_edit_changes_what_is_given(world: World, told: list[Event]) -> None:
    ann = await world.someone()
    post = await world.post(ann, caption="old", tags=("a",), alt_text="words")
    path = f"/posts/{post.photo_id}"
    for _ in range(2):
        answer = await world.call("PATCH", path, ann, json={"caption": "new", "tags": ["#B"]})
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        assert (shown["caption"], shown["tags"], shown["alt_text"]) == ("new", ["b"], "words")
    first, again = told
    assert isinstance(first, PostEdited)
    assert (first.event_id, first.version) == (again.event_id, post.version + 1)
    assert again.version == first.version, "nothing changed the second time"
    assert (first.caption, first.tags, first.variants) == ("new", ("b",), post.variants)
    answer = await world.call("PATCH", path, ann, json={"caption": "\x00"})
    is_problem(answer, 422, "validation")


async def test_without_the_commit_nothing_is_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await world.someone()
    post = await world.post(ann)

    async def away(*_: object) -> None:
        raise StoreAway("gone fishing")

    monkeypatch.setattr(world.stores.events, "publish", away)
    answer = await world.call("DELETE", f"/posts/{post.photo_id}", ann)
    is_problem(answer, 503, "unavailable")
    assert (await world.call("GET", f"/posts/{post.photo_id}", ann)).status_code == 200
