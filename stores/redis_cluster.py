"""Redis Cluster: each question goes to the node that has its slot.

A batch becomes one write a node. A node that no longer has a slot says so about each key (MOVED:
the map is read anew and the key asked for again; ASK: this key alone is elsewhere, the slot is on
its way), so a slot that moves costs a trip and loses nothing. No command has keys of two slots.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hiredis import ReplyError
from redis.crc import key_slot

from domain.errors import StoreAway
from stores.redis_commands import Ask, packed
from stores.redis_server import RedisServer
from stores.redis_wire import Changed, Node, Reply

_ROUNDS = 5  # redirections that one question follows
_SLOT_MAP = packed("CLUSTER", "SLOTS")
_ASKING = packed("ASKING")


@dataclass(slots=True)
class _Open:
    """What is still to be asked: one key of one ask, and where it was sent to, if anywhere."""

    number: int
    index: int
    node: Node | None = None
    asking: bool = False


class RedisCluster(RedisServer):
    """Several servers that share the slots. The map of slots is read when first needed."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self._nodes: dict[str, Node] = {}
        self._listener: Changed | None = None
        self._seeds = [self._node_at(address) for address in nodes]
        self._slots: dict[int, Node] = {}
        self._sharing: frozenset[Node] = frozenset()
        self._reading: asyncio.Task[None] | None = None

    def listen(self, changed: Changed) -> None:
        """Have it told of each key that changes after it was read, on whatever node."""
        self._listener = changed
        for node in self._nodes.values():
            node.listen(changed)

    @property
    def heard_at(self) -> float:
        """The loop's time up to which all nodes that were asked told of changes.

        Only those that share the slots: who only told of them, or has none any more, is silent.
        """
        heard = [at for node in self._sharing if (at := node.heard_at) is not None]
        return min(heard, default=0.0)

    async def close(self) -> None:
        """End the connections."""
        for node in self._nodes.values():
            await node.close()

    async def _exchange(self, asks: Iterable[Ask]) -> list[list[Reply]]:
        """The replies with errors among them, redirections followed."""
        whole = list(asks)
        answers: list[list[Reply]] = [[None] * (len(ask.keys) * ask.replies) for ask in whole]
        wanted = [_Open(n, i) for n, ask in enumerate(whole) for i in range(len(ask.keys))]
        for _ in range(_ROUNDS):
            await self._send(whole, wanted, answers)
            wanted = [again for each in wanted if (again := self._redirected(whole, each, answers))]
            if not wanted:
                break
            if not all(each.asking for each in wanted):
                await self._read_map()
        return answers

    async def _send(
        self, asks: Sequence[Ask], wanted: Iterable[_Open], answers: list[list[Reply]]
    ) -> None:
        """Ask every node its share, side by side. Raises StoreAway."""
        shares: dict[tuple[Node, bool], list[_Open]] = defaultdict(list)
        if not self._slots:
            await self._read_map()
        for each in wanted:
            node = each.node or self._node_of(asks[each.number].keys[each.index])
            shares[node, each.asking].append(each)
        try:
            await asyncio.gather(
                *(self._send_to(*place, asks, share, answers) for place, share in shares.items())
            )
        except StoreAway:
            self._slots = {}  # another node may have its slots by the next call
            raise

    async def _send_to(
        self,
        node: Node,
        asking: bool,
        asks: Sequence[Ask],
        share: Sequence[_Open],
        answers: list[list[Reply]],
    ) -> None:
        commands, count = [], 0
        for number, opened in _by_ask(share):
            ask = asks[number]
            keys = [ask.keys[each.index] for each in opened]
            commands += [_ASKING + ask.pack([key]) for key in keys] if asking else [ask.pack(keys)]
            count += len(keys) * (ask.replies + asking)
        replies = iter(await node.ask(b"".join(commands), count))
        for each in share:
            width = asks[each.number].replies
            if asking:
                next(replies)
            start = each.index * width
            answers[each.number][start : start + width] = [next(replies) for _ in range(width)]

    def _redirected(
        self, asks: Sequence[Ask], done: _Open, answers: Sequence[Sequence[Reply]]
    ) -> _Open | None:
        """Where to ask again, None when the answer is one."""
        width = asks[done.number].replies
        start = done.index * width
        for reply in answers[done.number][start : start + width]:
            if type(reply) is ReplyError:
                kind, _, place = str(reply).partition(" ")
                if kind in {"MOVED", "ASK"}:
                    node = self._node_at(place.split(" ")[1])
                    return _Open(done.number, done.index, node, asking=kind == "ASK")
        return None

    # --- the map -------------------------------------------------------------------------------

    def _node_of(self, key: str) -> Node:
        slot = key_slot(key.encode())
        node = self._slots.get(slot)
        if node is None:
            raise StoreAway(f"redis: no node has slot {slot}")
        return node

    def _node_at(self, address: str) -> Node:
        if address not in self._nodes:
            host, _, port = address.rpartition(":")
            node = self._nodes[address] = Node(host, int(port))
            if self._listener is not None:
                node.listen(self._listener)
        return self._nodes[address]

    async def _read_map(self) -> None:
        """Read the map of slots anew, once for all who want it. Raises StoreAway."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._ask_for_map())
        await asyncio.shield(self._reading)

    async def _ask_for_map(self) -> None:
        why: object = "no node is known"
        try:
            for node in list(self._nodes.values()):
                try:
                    (ranges,) = await node.ask(_SLOT_MAP, 1)
                except StoreAway as error:
                    why = error
                    continue
                if isinstance(ranges, list):
                    self._take(dict(self._owners(ranges, node)))
                    return
                why = ranges
        finally:
            self._reading = None
        raise StoreAway(f"redis: no map of slots: {why}")

    def _take(self, slots: dict[int, Node]) -> None:
        """Go by this map. Whoever had a slot doesn't tell of what is new there."""
        if slots != self._slots and self._listener is not None:
            self._listener(None)
        self._slots, self._sharing = slots, frozenset(slots.values())

    def _owners(self, ranges: Iterable[list[Reply]], told_by: Node) -> Iterator[tuple[int, Node]]:
        for first, last, (host, port, *_), *_ in ranges:
            node = self._node_at(f"{host.decode() if host else told_by.host}:{port}")
            for slot in range(first, last + 1):
                yield slot, node


def _by_ask(share: Iterable[_Open]) -> list[tuple[int, list[_Open]]]:
    """By the ask they are of; a share lists those in order."""
    grouped: dict[int, list[_Open]] = defaultdict(list)
    for each in share:
        grouped[each.number].append(each)
    return list(grouped.items())
