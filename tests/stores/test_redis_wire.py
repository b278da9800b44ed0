"""The shared Redis connection when something breaks: errors are named, replies never shifted."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
from hiredis import ReplyError
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from domain.errors import StoreAway, Transient
from stores import redis_wire
from stores.redis_commands import KEY, Ask, Script, Template, ask, ask_each, ask_values, packed
from stores.redis_server import RedisServer, ScriptUnknown
from stores.redis_wire import Lost, Node
from tests.redis_nodes import RedisNode, redis_nodes


@asynccontextmanager
async def scripted(*connections: Sequence[bytes | None]) -> AsyncIterator[RedisServer]:
    """A server that greets, then sends these bytes on its connections, each when asked again.

    None closes the connection at once; after the last the server listens and says nothing.
    """
    scripts = iter(connections)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in (b"%0\r\n", *next(scripts, ())):
            if part is None or not await reader.read(65_536):
                break
            writer.write(part)
            await writer.drain()
        else:
            await reader.read()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1")
    server = RedisServer(Node(*listening.sockets[0].getsockname()[:2]))
    try:
        yield server
    finally:
        await server.close()
        listening.close()


@pytest.fixture(scope="module")
async def node() -> AsyncIterator[RedisNode]:
    async with redis_nodes(1) as (started,):
        yield started


@pytest.fixture
async def server(node: RedisNode) -> AsyncIterator[RedisServer]:
    opened = RedisServer.at(node.url)
    yield opened
    await opened.close()


async def echoes(server: RedisServer, count: int, width: int = 1) -> None:
    """Ask for values that are known beforehand, many at once; each must get its own."""
    names = [f"echo{number}" * width for number in range(count)]
    answers = await asyncio.gather(*(server.call("ECHO", name) for name in names))
    assert answers == [name.encode() for name in names]


async def test_callers_share_a_connection_and_get_their_own_answers(server: RedisServer) -> None:
    await echoes(server, 500)
    await echoes(server, 20, width=100_000)
    assert await server.ask() == []
    assert await server.ask(ask_values([]), ask(Template(("GET", KEY)), [])) == [[], []]


async def test_an_error_inside_a_batch_belongs_to_its_command(server: RedisServer) -> None:
    await server.call("SET", "text", "a")
    raw = Ask(["text"], lambda _: packed("GET", "text") + packed("LPUSH", "text", "x"), 2)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await server.ask(raw, ask_values(["text"]))
    optional = Ask(["text"], raw.pack, 2, optional=True)
    values, (first, error) = await server.ask(ask_values(["text", "none"]), optional)
    assert values == [b"a", None]
    assert first == b"a"
    assert isinstance(error, ReplyError)
    await echoes(server, 10)


async def test_an_aborted_transaction_tells_its_cause(server: RedisServer) -> None:
    wrong = Template(("MULTI",), ("NO-SUCH-COMMAND", KEY), ("EXEC",))
    with pytest.raises(ResponseError, match="unknown command"):
        await server.ask(ask(wrong, ["a"]))
    await echoes(server, 10)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("LOADING Redis is loading the dataset in memory", StoreAway),
        ("MASTERDOWN Link with MASTER is down", StoreAway),
        ("CLUSTERDOWN Hash slot not served", StoreAway),
        ("ERR max number of clients reached", StoreAway),
        ("OOM command not allowed when used memory > 'maxmemory'.", Transient),
        ("READONLY You can't write against a read only replica.", Transient),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Transient),
        ("BUSY Redis is busy running a script.", Transient),
        ("NOSCRIPT No matching script.", ScriptUnknown),
        ("MOVED 3999 127.0.0.1:6381", Transient),
        ("ASK 3999 127.0.0.1:6381", Transient),
        ("ERR unknown command 'x'", ResponseError),
        ("WRONGTYPE Operation against a key", ResponseError),
    ],
)
@pytest.mark.parametrize("place", range(3))
async def test_an_error_is_named_by_what_the_caller_must_do(
    reply: str, kind: type[Exception], place: int
) -> None:
    """Wherever in a batch it comes; the answers to others before and after are theirs."""
    replies = [b":1\r\n", b":1\r\n", b":1\r\n"]
    replies[place] = f"-{reply}\r\n".encode()
    async with scripted([b"+a\r\n" + b"".join(replies) + b"+z\r\n"]) as server:
        numbers = ask(Template(("EXISTS", KEY)), ["k1", "k2", "k3"])
        first, failed, last = await asyncio.gather(
            server.call("GET", "a"),
            server.ask(numbers),
            server.call("GET", "z"),
            return_exceptions=True,
        )
    assert (first, last) == (b"a", b"z")
    assert type(failed) is kind


async def test_out_of_memory_is_transient_and_no_reply_is_shifted(
    node: RedisNode, server: RedisServer
) -> None:
    await server.call("SET", "kept", "a")
    await node.call("CONFIG", "SET", "maxmemory", 1)
    try:
        setting = ask_each({f"k{n}": ("SET", f"k{n}", "v") for n in range(50)})
        with pytest.raises(Transient, match="OOM"):
            await server.ask(ask_values(["kept"]), setting)
        assert await server.ask(ask_values(["kept"])) == [[b"a"]]
    finally:
        await node.call("CONFIG", "SET", "maxmemory", 0)


async def test_a_script_is_found_again_after_it_was_lost(server: RedisServer) -> None:
    script = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    for by in (1, 2):
        await server.call("SCRIPT", "FLUSH")
        assert len(await server.run(script, {"n1": (by,), "n2": (by,)})) == 2
        await server.run(script, {"n1": (by,)})
    assert await server.ask(ask_values(["n1", "n2"])) == [[b"6", b"3"]]


async def test_a_caller_that_goes_away_shifts_nothing(server: RedisServer) -> None:
    await server.call("SET", "ready", "1")
    for _ in range(20):
        calls = [asyncio.create_task(server.call("ECHO", str(number))) for number in range(40)]
        await asyncio.sleep(0)
        for task in calls[::3]:
            task.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for number, answer in enumerate(answers):
            gone = number % 3 == 0
            assert isinstance(answer, asyncio.CancelledError) if gone else answer == b"%d" % number


# --- bytes that come in pieces, or not at all ---------------------------------------------------


REPLIES = [
    b"$5\r\na\r\nbc\r\n",
    b"*2\r\n:1\r\n*1\r\n$-1\r\n",
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":7\r\n",
]
READ = [b"a\r\nbc", [1, [None]], b"OK", "ERR no", 7]
PUSH = b">2\r\n+invalidate\r\n*2\r\n$2\r\nk1\r\n$2\r\nk2\r\n"
PUSH_ALL = b">2\r\n+invalidate\r\n_\r\n"


@settings(max_examples=100, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 120), max_size=8),
    counts=st.permutations([2, 3]),
    pushes=st.lists(st.tuples(st.integers(0, len(READ)), st.booleans()), max_size=3),
)
async def test_replies_in_pieces_are_put_together(
    cuts: list[int], counts: list[int], pushes: list[tuple[int, bool]]
) -> None:
    """Fed to the protocol as a socket may cut them, shared by two questions; changes between."""
    stream = list(REPLIES)
    for place, everything in sorted(pushes, reverse=True):
        stream.insert(place, PUSH_ALL if everything else PUSH)
    data, told = b"".join(stream), list[bytes | None]()
    ends = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    link = redis_wire.Connection(told.append)
    link.connection_made(_Sink())
    questions = [link.ask(b"", count) for count in counts]
    for start, end in pairwise(ends):
        link.data_received(data[start:end])
    replies = [reply for each in questions for reply in await each]
    assert [str(r) if isinstance(r, ReplyError) else r for r in replies] == READ
    assert link.open
    said = [[None] if everything else [b"k1", b"k2"] for _, everything in sorted(pushes)]
    assert sorted(map(str, told)) == sorted(str(key) for keys in said for key in keys)
    link.end(Lost("done"))


class _Sink(asyncio.Transport):
    """Takes bytes to nowhere."""

    def write(self, data: object) -> None:
        """Nothing."""

    def abort(self) -> None:
        """Nothing."""


async def test_a_connection_lost_between_replies_is_asked_once_more() -> None:
    """Half of a batch had been answered: all of it is asked again, and nothing is mixed."""
    halves = [b"+warm\r\n", b":1\r\n:2", None]
    async with scripted(halves, [b":3\r\n:4\r\n:5\r\n"]) as server:
        assert await server.call("GET", "a") == b"warm"
        assert await server.ask(ask(Template(("ZCARD", KEY)), ["a", "b", "c"])) == [[3, 4, 5]]


async def test_a_connection_lost_twice_is_a_store_away() -> None:
    async with scripted([b"+warm\r\n", b"", None], [b"", None], [b"+back\r\n"]) as server:
        assert await server.call("GET", "a") == b"warm"
        with pytest.raises(StoreAway):
            await server.call("GET", "a")
        assert await server.call("GET", "a") == b"back"


@pytest.mark.parametrize("junk", [b"+a\r\n+for nobody\r\n", b"what?\r\n"])
async def test_what_nobody_asked_for_ends_the_connection(junk: bytes) -> None:
    async with scripted([junk], [b"+fresh\r\n"], [b"+fresh\r\n"]) as server:
        with suppress(StoreAway):
            assert await server.call("GET", "a") in {b"a", b"fresh"}
        assert await server.call("GET", "b") == b"fresh"


async def test_no_answer_within_the_limit_is_a_store_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_wire, "ANSWER_LIMIT_S", 0.2)
    async with scripted([b":1\r\n"], [b":9\r\n"]) as server:
        with pytest.raises(StoreAway, match="no answer"):
            await server.ask(ask(Template(("ZCARD", KEY)), ["a", "b"]))
        assert await server.call("ZCARD", "a") == 9, "on a connection of its own"


async def test_nobody_listening_is_a_store_away() -> None:
    async with redis_nodes(1) as (gone,):
        gone.kill()
        server = RedisServer.at(gone.url)
        results = await asyncio.gather(
            *(server.call("GET", "a") for _ in range(10)), return_exceptions=True
        )
    assert {type(result) for result in results} == {StoreAway}
    with pytest.raises(ValueError, match="password"):
        RedisServer.at("redis://:secret@127.0.0.1:1/0")
