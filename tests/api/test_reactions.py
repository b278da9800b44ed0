"""Follows, likes, comments: idempotent, seen at once by whoever did them."""

from typing import Any

import pytest

from domain.entities import Counts, PhotoStatus
from schemas.events import Event, LikeCreated, LikeDeleted
from streams.count_reactions import CountReactions
from tests.api.world import Someone, World, is_problem
from tests.fresh import fresh_id
from tests.waiting import until
from topics.topic import Topic

COUNTED_WITHIN_S = 5.0
CHANGES = [
    ("POST", "/likes/{post_id}"),
    ("DELETE", "/likes/{post_id}"),
    ("GET", "/likes/{post_id}"),
    ("POST", "/posts/{post_id}/comments"),
    ("GET", "/posts/{post_id}/comments"),
    ("GET", "/posts/{post_id}"),
]


async def test_follow_and_unfollow_twice_are_once(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    path = f"/follow/{ann.user_id}"
    for _ in range(2):
        answer = await world.call("POST", path, bob)
        assert answer.json() == {"user_id": ann.user_id, "following": True, "follower_count": 1}
    for _ in range(2):
        answer = await world.call("DELETE", path, bob)
        assert answer.json() == {"user_id": ann.user_id, "following": False, "follower_count": 0}


async def test_following_forgets_the_cached_set_at_once(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    cache = world.stores.follow_cache
    await cache.put_following(bob.user_id, [], await cache.following_token(bob.user_id))
    await world.call("POST", f"/follow/{ann.user_id}", bob)
    assert await cache.following(bob.user_id) is None


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_nobody_follows_themselves_or_nobody(world: World, method: str) -> None:
    ann = await world.someone()
    is_problem(await world.call(method, f"/follow/{ann.user_id}", ann), 422, "self-follow")
    for unknown in (fresh_id("u_"), "nonsense"):
        is_problem(await world.call(method, f"/follow/{unknown}", ann), 404, "not-found")


@pytest.mark.parametrize("warm", [True, False])
async def test_a_like_is_counted_once_and_seen_at_once(world: World, warm: bool) -> None:
    ann, bob = await world.someone(), await world.someone()
    post_id = (await world.post(ann)).photo_id
    cache = world.stores.reaction_cache
    if warm:
        await cache.put_likers(post_id, [ann.user_id])
        await cache.put_counts(post_id, Counts(1, 0))
    path, likes = f"/likes/{post_id}", int(warm) + 1
    first = await world.call("POST", path, bob)
    assert first.json() == {"post_id": post_id, "liked_by_viewer": True, "like_count": likes}
    again = await world.call("POST", path, bob)
    assert again.json()["liked_by_viewer"]
    await counted(world, post_id, bob, likes, liked=True)


async def counted(world: World, post_id: str, who: Someone, likes: int, *, liked: bool) -> None:
    """Their own click is seen at once; the number may lag behind while a stage is counting."""

    async def right() -> bool:
        shown = (await world.call("GET", f"/posts/{post_id}", who)).json()
        assert shown["liked_by_viewer"] is liked
        return bool(shown["like_count"] == likes)

    await until(right, COUNTED_WITHIN_S)


async def test_an_unlike_takes_away_only_a_like_that_was_there(world: World) -> None:
    ann, bob, eve = [await world.someone() for _ in range(3)]
    post_id = (await world.post(ann)).photo_id
    await world.stores.reaction_cache.warm({post_id: (Counts(2), [ann.user_id, bob.user_id])})
    for who, likes in ((eve, 2), (bob, 1), (bob, 1)):
        assert not (await world.call("DELETE", f"/likes/{post_id}", who)).json()["liked_by_viewer"]
        await counted(world, post_id, who, likes, liked=False)


async def test_a_click_that_is_shown_late_leaves_no_ghost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A like is committed, taken back and counted before its call goes on."""
    ann, bob, eve = [await world.someone() for _ in range(3)]
    post_id = (await world.post(ann)).photo_id
    path, stores = f"/likes/{post_id}", world.stores
    count, publish = CountReactions(stores.reactions, stores.reaction_cache), stores.events.publish
    await stores.reaction_cache.warm({post_id: (Counts(), [])})

    async def publish_and_count(topic: Topic[Any], event: Event, headers: Any = None) -> None:
        await publish(topic, event, headers)
        if isinstance(event, LikeCreated | LikeDeleted):
            await count(event)
        if isinstance(event, LikeCreated) and event.user_id == bob.user_id:
            assert (await world.call("DELETE", path, bob)).status_code == 200

    monkeypatch.setattr(stores.events, "publish", publish_and_count)
    await world.call("POST", path, bob)
    await world.call("POST", path, eve)
    assert await stores.reactions.get_counts([post_id]) == {post_id: Counts(1)}
    for who, liked in ((ann, False), (bob, False), (eve, True)):
        shown = (await world.call("GET", f"/posts/{post_id}", who)).json()
        assert (shown["like_count"], shown["liked_by_viewer"]) == (1, liked)


async def test_likers_page_without_gap_or_repeat(world: World) -> None:
    ann = await world.someone()
    post_id = (await world.post(ann)).photo_id
    fans = [await world.someone() for _ in range(5)]
    for version, fan in enumerate(fans, 1):
        await world.stores.reactions.set_like(post_id, fan.user_id, version, liked=True)
    seen: list[str] = []
    path = f"/likes/{post_id}?limit=2"
    cursor: str | None = ""
    while cursor is not None:
        page = (await world.call("GET", path + cursor, ann)).json()
        assert set(page["users"][0]) == {"user_id", "username", "avatar_url"}
        seen += [user["user_id"] for user in page["users"]]
        cursor = f"&cursor={page['next_cursor']}" if page["has_more"] else None
    assert sorted(seen) == sorted(fan.user_id for fan in fans)


async def test_a_comment_is_in_the_list_at_once(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    post_id = (await world.post(ann)).photo_id
    path = f"/posts/{post_id}/comments"
    made = await world.call("POST", path, bob, json={"text": "nice  ✨"})
    assert made.status_code == 201
    comment = made.json()
    assert comment.pop("comment_id").startswith("cm_")
    assert comment.pop("created_at").endswith("Z")
    user = {"user_id": bob.user_id, "username": bob.username, "avatar_url": None}
    assert comment == {"post_id": post_id, "user": user, "text": "nice  ✨"}
    page = (await world.call("GET", path, ann)).json()
    assert page == {"comments": [made.json()], "next_cursor": None, "has_more": False}


async def test_comments_page_newest_first(world: World) -> None:
    ann = await world.someone()
    post_id = (await world.post(ann)).photo_id
    path = f"/posts/{post_id}/comments"
    for n in range(5):
        await world.call("POST", path, ann, json={"text": str(n)})
    texts: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await world.call("GET", f"{path}?limit=2{cursor}", ann)).json()
        texts += [comment["text"] for comment in page["comments"]]
        cursor = f"&cursor={page['next_cursor']}" if page["has_more"] else None
    assert texts == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize("text", ["", "  \n", "x" * 2201, "a\0b", None, 5])
async def test_an_empty_or_endless_comment_is_refused(world: World, text: object) -> None:
    ann = await world.someone()
    post_id = (await world.post(ann)).photo_id
    answer = await world.call("POST", f"/posts/{post_id}/comments", ann, json={"text": text})
    is_problem(answer, 422, "validation")


async def test_a_deleted_comment_is_gone_from_the_list(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    post_id = (await world.post(ann)).photo_id
    path = f"/posts/{post_id}/comments"
    made = (await world.call("POST", path, bob, json={"text": "oops"})).json()
    answer = await world.call("DELETE", f"/comments/{made['comment_id']}", bob)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await world.call("GET", path, ann)).json()["comments"] == []


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_only_what_is_published_can_be_spoken_of(
    world: World, method: str, path: str
) -> None:
    ann = await world.someone()
    awaited, rejected = await world.awaited(ann), await world.awaited(ann)
    await world.stores.photos.reject(rejected.photo_id, "truncated")
    for post_id in (awaited.photo_id, rejected.photo_id, fresh_id("ph_"), "nonsense"):
        answer = await world.call(method, path.format(post_id=post_id), ann, json={"text": "a"})
        is_problem(answer, 404, "not-found")


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_what_was_deleted_is_gone(world: World, method: str, path: str) -> None:
    ann = await world.someone()
    deleted = await world.awaited(ann, status=PhotoStatus.DELETED)
    answer = await world.call(
        method, path.format(post_id=deleted.photo_id), ann, json={"text": "a"}
    )
    is_problem(answer, 410, "gone")


async def test_a_post_is_shown_whole(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    post = await world.post(ann, caption="hello", tags=("sun",), alt_text="words")
    shown = (await world.call("GET", f"/posts/{post.photo_id}", bob)).json()
    assert shown.pop("created_at").endswith("Z")
    urls = shown.pop("image_urls")
    assert {name: url.split("/")[-1] for name, url in urls.items()} == {
        name: f"{name}.jpg" for name in ("thumbnail", "feed", "full")
    }
    assert shown == {
        "post_id": post.photo_id,
        "user": {"user_id": ann.user_id, "username": ann.username, "avatar_url": None},
        "caption": "hello",
        "tags": ["sun"],
        "location": None,
        "alt_text": "words",
        "width": 4000,
        "height": 3000,
        "placeholder": "",
        "like_count": 0,
        "comment_count": 0,
        "liked_by_viewer": False,
    }
