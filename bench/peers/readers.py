"""What a feed read is compared with, each a process of its own: `readers.py KIND PORT REDIS_PORT`.

`bare`: an ASGI function that answers with one MGET of twenty posts as ready bytes, joined; nothing
is looked up, filtered or merged. `hashes`: FastAPI as one writes it first, a model of the answer
and twenty HGETALLs in one pipeline. Both under uvicorn as it comes (httptools, uvloop), on redis-py
with hiredis. `corked`: the bare function under our server, which sends head and body at once.
"""

import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel
from redis.asyncio import Redis

from api.server import listen

SHOWN = 20
READY = [f"bench:ready:{number}" for number in range(SHOWN)]
HASHES = [f"bench:hash:{number}" for number in range(SHOWN)]
Message = MutableMapping[str, Any]


def bare(redis: Redis) -> Callable[..., Awaitable[None]]:
    """The floor."""

    async def app(
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        body = b'{"posts":[%b]}' % b",".join(cast("list[bytes]", await redis.mget(READY)))
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def _live(
    receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    for _ in range(2):
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


class Person(BaseModel):
    """A post's author."""

    user_id: str
    username: str
    avatar_url: str | None


class Post(BaseModel):
    """A post of the page."""

    post_id: str
    user: Person
    caption: str
    tags: list[str]
    alt_text: str
    image_urls: dict[str, str]
    width: int
    height: int
    placeholder: str
    created_at: str
    like_count: int
    comment_count: int
    liked_by_viewer: bool


class Page(BaseModel):
    """The answer."""

    posts: list[Post]


def hashes(redis: Redis) -> FastAPI:
    """FastAPI with its models."""
    app = FastAPI()

    @app.get("/feed")
    async def feed() -> Page:
        async with redis.pipeline(transaction=False) as pipe:
            for key in HASHES:
                pipe.hgetall(key)
            rows = await pipe.execute()
        return Page(posts=[_post(row) for row in rows])

    return app


def _post(row: dict[bytes, bytes]) -> Post:
    text = {name.decode(): value.decode() for name, value in row.items()}
    person = Person(
        user_id=text["user_id"], username=text["username"], avatar_url=text["avatar_url"] or None
    )
    names = ("thumbnail", "feed", "full")
    return Post(
        post_id=text["post_id"],
        user=person,
        caption=text["caption"],
        tags=text["tags"].split(","),
        alt_text=text["alt_text"],
        image_urls={name: text[name] for name in names},
        width=int(text["width"]),
        height=int(text["height"]),
        placeholder=text["placeholder"],
        created_at=text["created_at"],
        like_count=int(text["like_count"]),
        comment_count=int(text["comment_count"]),
        liked_by_viewer=text["liked_by_viewer"] == "True",
    )


def row_of(post: dict[str, Any]) -> dict[str, str]:
    """A post of an answer as the fields of its hash."""
    person, urls = post["user"], post["image_urls"]
    plain = ("post_id", "caption", "alt_text", "width", "height", "placeholder", "created_at")
    told = ("like_count", "comment_count", "liked_by_viewer")
    return (
        {name: str(post[name]) for name in (*plain, *told)}
        | {name: str(value or "") for name, value in person.items()}
        | {"tags": ",".join(post["tags"])}
        | dict(urls)
    )


async def fill(redis: Redis, posts: list[dict[str, Any]]) -> None:
    """The same twenty posts in both layouts."""
    for number, post in enumerate(posts):
        await redis.set(READY[number], json.dumps(post, separators=(",", ":")))
        await redis.hset(
            HASHES[number], items=[part for pair in row_of(post).items() for part in pair]
        )


if __name__ == "__main__":
    kind, port, redis_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    client = Redis(port=redis_port)
    if kind == "corked":
        uvloop.run(listen(bare(client), port))
    else:
        app = bare(client) if kind == "bare" else hashes(client)
        plain = uvicorn.Config(app, port=port, access_log=False, log_level="warning")
        uvloop.run(uvicorn.Server(plain).serve())
