"""Order within a lane, concurrency between lanes."""

import asyncio

from streams.runtime.lanes import SIDE_BY_SIDE, Lanes, lane_of

Item = tuple[str, int]


class Journal:
    """Work that takes a moment and writes down what it saw."""

    def __init__(self) -> None:
        self.began: list[Item] = []
        self.done: list[Item] = []
        self.acknowledged: list[list[Item]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.held = asyncio.Event()
        self.held.set()

    async def hold(self, item: Item) -> None:
        if item[0] == "late":
            await self.held.wait()

    async def process(self, item: Item) -> None:
        self.began.append(item)
        await asyncio.sleep(0)
        if item[0] == "bad":
            raise ValueError(item)
        await self.gate.wait()
        self.done.append(item)

    async def acknowledge(self, items: list[Item]) -> None:
        self.acknowledged.append(list(items))


def lanes(work: Journal, batch: int = 1) -> tuple[Lanes[Item], list[BaseException]]:
    failed: list[BaseException] = []
    return Lanes(work, failed.append, batch), failed


async def settled(work: Journal, count: int) -> None:
    async with asyncio.timeout(2):
        while sum(map(len, work.acknowledged)) < count:  # noqa: ASYNC110 - watched from outside
            await asyncio.sleep(0.001)


async def test_a_partition_is_settled_in_order() -> None:
    work = Journal()
    each, _ = lanes(work)
    for n in range(20):
        await each.put(("t", 0), ("a", n))
    await settled(work, 20)
    assert work.done == [("a", n) for n in range(20)]
    assert [item for items in work.acknowledged for item in items] == work.done


async def test_partitions_go_on_side_by_side_but_one_number_takes_turns_across_topics() -> None:
    work = Journal()
    work.gate.clear()
    each, _ = lanes(work)
    for place in (("t", 0), ("t", 1), ("other", 1)):
        await each.put(place, (place[0], place[1]))
    await asyncio.sleep(0.01)
    assert len(work.began) == 2
    assert {number for _, number in work.began} == {0, 1}
    work.gate.set()
    await settled(work, 3)


async def test_a_record_that_must_wait_holds_up_only_its_own_lane() -> None:
    work = Journal()
    work.held.clear()
    each, _ = lanes(work)
    await each.put(("t.retry", 0), ("late", 1))
    await each.put(("t", 0), ("a", 2))
    await settled(work, 1)
    assert work.done == [("a", 2)]
    work.held.set()
    await settled(work, 2)


async def test_with_tables_acknowledgements_come_in_batches_and_never_late() -> None:
    work = Journal()
    work.gate.clear()
    each, _ = lanes(work, batch=8)
    for n in range(20):
        await each.put(("t", 0), ("a", n))
    work.gate.set()
    await settled(work, 20)
    assert list(map(len, work.acknowledged)) == [8, 8, 4]


async def test_an_exception_is_told_and_nothing_behind_it_is_settled() -> None:
    work = Journal()
    each, failed = lanes(work)
    for item in (("a", 1), ("bad", 2), ("a", 3)):
        await each.put(("t", 0), item)
    await asyncio.sleep(0.02)
    assert [type(error) for error in failed] == [ValueError]
    assert work.acknowledged == [[("a", 1)]]


async def test_closing_finishes_what_is_in_hand_and_nothing_more() -> None:
    work = Journal()
    work.gate.clear()
    each, _ = lanes(work)
    for n in range(3):
        await each.put(("t", 0), ("a", n))
    await each.put(("t", 1), ("late", 9))
    await asyncio.sleep(0.01)
    assert each.busy_s() > 0
    asyncio.get_running_loop().call_later(0.02, work.gate.set)
    assert await each.close(1.0)
    assert sorted(work.acknowledged) == [[("a", 0)], [("late", 9)]]


async def test_closing_gives_up_on_what_takes_too_long() -> None:
    work = Journal()
    work.gate.clear()
    each, _ = lanes(work)
    await each.put(("t", 0), ("a", 0))
    await asyncio.sleep(0.01)
    assert not await each.close(0.01)
    assert work.acknowledged == []


def test_one_key_has_one_lane_and_a_partitions_keys_share_few() -> None:
    keys = [f"ph_{n}".encode() for n in range(200)]
    lanes_of_three = {lane_of(3, key) for key in keys}
    assert lanes_of_three == set(range(3 * SIDE_BY_SIDE, 4 * SIDE_BY_SIDE))
    assert not lanes_of_three & {lane_of(2, key) for key in keys}
    assert all(lane_of(3, key) == lane_of(3, key) for key in (None, *keys))
