"""What the caches ask Redis through: questions about keys, answered by whatever node has them.

This is the way to one server; `redis_cluster` is the one to several.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Self
from urllib.parse import urlsplit

from hiredis import ReplyError
from redis.exceptions import ResponseError

from domain.errors import StoreAway, Transient
from stores.redis_commands import Ask, Script, Word, packed
from stores.redis_wire import Changed, Node, Reply

_AWAY = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "ERR max number of clients")
_TRANSIENT = (
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "BUSY",
    "MISCONF",
    "NOREPLICAS",
    "MOVED",  # again and again: the slots are on their way
    "ASK",
)


class ScriptUnknown(Transient):
    """The server doesn't know a script by its name: it was restarted, or never heard it."""


class RedisServer:
    """One server. Every question must be safe to repeat: a lost answer is asked for again."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @classmethod
    def at(cls, url: str) -> Self:
        """`redis://host:port/0`. Raises ValueError for what asks for more than that."""
        parts = urlsplit(url)
        plain = parts.scheme == "redis" and parts.path in {"", "/", "/0"}
        if not plain or parts.hostname is None or parts.username or parts.password:
            raise ValueError("redis: only redis://host:port/0, without a password")
        return cls(Node(parts.hostname, parts.port or 6379))

    async def close(self) -> None:
        """End the connections."""
        await self._node.close()

    def listen(self, changed: Changed) -> None:
        """Have it told of each key that changes after it was read here (client tracking)."""
        self._node.listen(changed)

    @property
    def heard_at(self) -> float:
        """The loop's time up to which every change was told of; 0 when that isn't known."""
        return self._node.heard_at or 0.0

    async def ask(self, *asks: Ask) -> list[list[Reply]]:
        """The replies to each, in the order of its keys; all in one round trip.

        Raises StoreAway, Transient, and ResponseError for what no server would answer.
        """
        answers = await self._exchange(asks)
        for each, replies in zip(asks, answers, strict=True):
            if ReplyError in set(map(type, replies)) and not each.optional:
                raise meaning(next(r for r in replies if isinstance(r, ReplyError)))
        return answers

    async def call(self, command: str, key: str, *words: Word) -> Reply:
        """One command about one key."""
        whole = packed(command, key, *words)
        ((reply,),) = await self.ask(Ask((key,), lambda _: whole))
        return reply

    async def run(self, script: Script, arguments: Mapping[str, Sequence[Word]]) -> list[Reply]:
        """Run a script on each key with the key's arguments, whether the server knows it or not."""
        try:
            (replies,) = await self.ask(script.ask(arguments))
        except ScriptUnknown:
            (replies,) = await self.ask(script.ask(arguments, whole=True))
        return replies

    async def _exchange(self, asks: Iterable[Ask]) -> list[list[Reply]]:
        """The replies with errors among them."""
        wanted = [(each, each.joined) for each in asks]
        commands = [(join or each.pack)(each.keys) for each, join in wanted if each.keys]
        counts = [_count(each) for each, _ in wanted]
        replies = await self._node.ask(b"".join(commands), sum(counts)) if commands else []
        answers, start = [], 0
        for (_, join), count in zip(wanted, counts, strict=True):
            answer = replies[start : start + count]
            start += count
            answers.append(answer[0] if join and answer and type(answer[0]) is list else answer)
        return answers


def _count(ask: Ask) -> int:
    if ask.joined is not None:
        return bool(ask.keys)
    return len(ask.keys) * ask.replies


def meaning(error: ReplyError) -> Exception:
    """What an error reply asks the caller to do."""
    text = str(error)
    if text.startswith("NOSCRIPT"):
        return ScriptUnknown(f"redis: {text}")
    if text.startswith(_AWAY):
        return StoreAway(f"redis: {text}")
    if text.startswith(_TRANSIENT):
        return Transient(f"redis: {text}")
    return ResponseError(text)
