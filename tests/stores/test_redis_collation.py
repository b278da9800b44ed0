"""What depends on the order of ids holds on a server whose language sorts them otherwise."""

import subprocess
from pathlib import Path

import pytest

from domain.entities import FeedEntry
from domain.settings import Feed
from stores.redis_reaction_cache import RedisReactionCache
from stores.redis_server import RedisServer
from stores.redis_shelf import RedisShelf
from tests.fresh import fresh_id
from tests.redis_nodes import redis_nodes

LANGUAGE = """LC_COLLATE
order_start forward
<a>
<A>
<Z>
order_end
END LC_COLLATE
"""


@pytest.fixture
def turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A language in which no digit and hardly a letter has its place."""
    (tmp_path / "source").write_text(LANGUAGE)
    # It ends with 1, as the language lacks all but an order.
    subprocess.run(  # noqa: S603 - the C library's own
        ["localedef", "--force", "-i", str(tmp_path / "source"), str(tmp_path / "turned")],  # noqa: S607 - wherever it is
        check=False,
        capture_output=True,
    )
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.setenv("LOCPATH", str(tmp_path))
    monkeypatch.setenv("LC_COLLATE", "turned")


@pytest.mark.usefixtures("turned")
async def test_the_newest_click_wins_whatever_the_servers_language() -> None:
    async with redis_nodes(1) as (node,):
        assert await node.call("EVAL", "return tostring('Z' < 'a')", 0) == b"false", "not turned"
        redis = RedisServer.at(node.url)
        cache, shelf = RedisReactionCache(redis, Feed()), RedisShelf(redis, Feed())
        viewer, post = fresh_id("u_"), FeedEntry(0, fresh_id("ph_"), fresh_id("u_"))
        first, second, third = fresh_id(), fresh_id(), fresh_id()
        await cache.note_click(post.post_id, viewer, first, liked=True)
        for event_id, liked in ((third, False), (second, True)):
            await cache.note_click(post.post_id, viewer, event_id, liked=liked)
            assert (await shelf.read([post], viewer)).clicks == {post.post_id: False}
        await redis.close()
