"""Who takes part in `bench/fan_out.py`: ours, the floor and the peers, over one server."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import SecretStr

from bench.peers.feed_stores import FeedStore, Mastodon, Misskey, Pixelfed
from bench.peers.feeds import Contender, Feeds, feed_key
from bench.peers.ours import FEED, Ours, Raw
from bench.peers.programs import Peer, Seed, StreamFramework
from bench.peers.seed_feeds import ClientPipeline, SeedFeeds
from bench.peers.venv import Missing, stream_framework_python
from bench.tools.cache import Wire
from bench.tools.graph import PowerLaw
from domain.entities import FeedEntry
from domain.feed import member
from domain.ids import spell
from domain.secrets import Secrets
from domain.settings import Settings
from stores.connect import Stores
from stores.memory.cassandra import MemoryPhotos

_BATCH = 500
_TEMPLATES = 11
_DATABASES = {"ours": 0, "seed": 1, "mastodon": 2, "pixelfed": 3, "misskey": 4, "plain": 5, "sf": 6}
_T0 = 1_700_000_000_000


@dataclass(slots=True)
class Field:
    """All of them, and who could not be run, with the reason."""

    runners: list[Contender]
    not_run: dict[str, str]
    closing: list[Callable[[], None]] = field(default_factory=list)
    stores: Stores | None = None

    async def close(self) -> None:
        """Let go of everything."""
        for close in self.closing:
            close()
        if self.stores is not None:
            await self.stores.close()


async def contenders(settings: Settings, graph: PowerLaw, cold: set[str]) -> Field:
    """Fill everybody's feeds and hand out the contenders."""
    port = settings.port("redis")
    stores = Stores(settings, _no_secrets())
    stores.__dict__.update(follows=graph, photos=MemoryPhotos())
    wires = {name: Wire(port, database) for name, database in _DATABASES.items()}
    ours = Feeds(graph, cold, wires["ours"], feed_key)
    await _fill_ours(stores, ours)
    seed = Feeds(graph, cold, wires["seed"], feed_key)
    _fill_seed(seed)
    field_of = Field([Ours(stores, ours), Raw(ours)], {}, stores=stores)
    field_of.closing += [wire.close for wire in wires.values()]
    for name, compiled in (("seed on redis-py", False), ("seed on redis-py + hiredis", True)):
        writer = SeedFeeds(port, _DATABASES["seed"], FEED.cap, compiled=compiled)
        field_of.runners.append(Seed(name, seed, writer))
        field_of.closing.append(writer.close)
    client = ClientPipeline(port, _DATABASES["misskey"])
    field_of.closing.append(client.close)
    for name, database, store, repeats in (
        ("Mastodon", "mastodon", Mastodon(wires["mastodon"]), 1),
        ("Pixelfed", "pixelfed", Pixelfed(wires["pixelfed"]), 1),
        ("Misskey on redis-py", "misskey", Misskey(client), 2),
        ("Misskey, plain connection", "plain", Misskey(wires["plain"]), 2),
    ):
        field_of.runners.append(_peer(name, graph, cold, wires[database], store, repeats))
    _add_stream_framework(field_of, Feeds(graph, cold, wires["sf"], _numbered(graph)), port)
    return field_of


def _no_secrets() -> Secrets:
    nothing = SecretStr("")
    return Secrets(jwt_key=nothing, s3_access_key=nothing, s3_secret_key=nothing)


def _old(number: int) -> FeedEntry:
    author = f"u_{spell(number % 977)}"
    return FeedEntry(_T0 + number * 1000, f"ph_{spell((1 + number) << 22)}", author)


async def _fill_ours(stores: Stores, feeds: Feeds) -> None:
    """Templates of a built feed, the sizes spread over the slack, then a copy for everybody."""
    cap, slack = FEED.cap, FEED.trim_slack
    names = []
    for step in range(_TEMPLATES):
        name = f"u_{spell(77_000_000 + step)}"
        entries = [_old(number) for number in range(cap)]
        token = await stores.timelines.begin_build(name)
        await stores.timelines.finish_build(name, token, entries[::-1])
        more = [_old(cap + number) for number in range(step * slack // _TEMPLATES)]
        pairs = [part for entry in more for part in (str(entry.published_at), member(entry))]
        if pairs:
            feeds.wire.call("ZADD", feed_key(name), *pairs)
        names.append(name)
    feeds.copy([feed_key(name) for name in names])


def _fill_seed(feeds: Feeds) -> None:
    entries = [_old(number) for number in range(FEED.cap)]
    pairs = [part for entry in entries for part in (str(entry.published_at), entry.post_id)]
    feeds.wire.call("ZADD", "template", *pairs)
    feeds.copy(["template"])


def _peer(
    name: str, graph: PowerLaw, cold: set[str], wire: Wire, store: FeedStore, repeats: int
) -> Contender:
    numbers = {person: n for n, person in enumerate(graph.people, 1)}
    feeds = Feeds(graph, cold, wire, lambda person: store.key(numbers[person]))
    feeds.listed = isinstance(store, Misskey)
    old = [_T0 + number for number in range(FEED.cap)]
    warm = [numbers[person] for person in graph.people if person not in cold]
    for start in range(0, len(warm), _BATCH):
        chosen = warm[start : start + _BATCH]
        wire.pipeline([command for number in chosen for command in store.fill(number, old)])
    return Peer(name, feeds, store, repeats)


def _numbered(graph: PowerLaw) -> Callable[[str], str]:
    numbers = {person: n for n, person in enumerate(graph.people, 1)}
    return lambda person: f"feed_{numbers[person]}"


def _add_stream_framework(field_of: Field, feeds: Feeds, port: int) -> None:
    try:
        python = stream_framework_python()
    except Missing as why:
        field_of.not_run[StreamFramework.name] = str(why)
        return
    peer = StreamFramework(feeds, python, port, _DATABASES["sf"])
    peer.ask({"fill": [77_000_001], "size": 100})
    feeds.wire.call("RENAME", "feed_77000001", "template")
    feeds.copy(["template"])
    field_of.runners.append(peer)
    field_of.closing.append(peer.close)
