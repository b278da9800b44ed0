"""What the log alone commits is not acknowledged without it (I5)."""

from collections.abc import Iterator

import pytest

from domain.errors import StoreAway
from tests.api.world import World, is_problem

CALLS = [
    ("POST", "/likes/{post_id}", 200),
    ("DELETE", "/likes/{post_id}", 200),
    ("POST", "/posts/{post_id}/comments", 201),
    ("DELETE", "/comments/{comment_id}", 204),
    ("PATCH", "/posts/{post_id}", 200),
    ("DELETE", "/posts/{post_id}", 202),
]


class Away:
    """A log that takes nothing."""

    async def publish(self, *_: object) -> None:
        raise StoreAway("kafka")


@pytest.fixture
def held(world: World) -> Iterator[dict[str, object]]:
    """The stores by name; afterwards the log is back."""
    stores = world.stores.__dict__
    whole = world.stores.events
    yield stores
    stores["events"] = whole


@pytest.mark.parametrize(("method", "path", "done"), CALLS)
async def test_nothing_is_acknowledged_while_the_log_is_away(
    world: World, held: dict[str, object], method: str, path: str, done: int
) -> None:
    ann = await world.someone()
    post_id = (await world.post(ann)).photo_id
    body = {"text": "nice"} if "comments" in path else {"caption": "other words"}
    made = await world.call("POST", f"/posts/{post_id}/comments", ann, json={"text": "nice"})
    path = path.format(post_id=post_id, comment_id=made.json()["comment_id"])
    log, held["events"] = world.stores.events, Away()
    is_problem(await world.call(method, path, ann, json=body), 503, "unavailable")
    held["events"] = log
    assert (await world.call(method, path, ann, json=body)).status_code == done
