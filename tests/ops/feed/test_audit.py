"""I1: the audit and `explain` say what a reader sees, whatever was planted; on twins.

What they are to find on real servers is planted in tests/invariants/test_feed_truth.py.
"""

import random
from collections import Counter, defaultdict
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.feed.facts import facts_of
from api.resilience.breakers import Breakers
from domain.entities import Cursor, FeedEntry, PhotoStatus
from domain.feed_audit import Fault, Filtered, Finding, Why
from domain.feed_explain import Explanation, Reason, explain
from domain.settings import Degradation, Feed
from ops.feed import audit as feed_audit
from ops.feed.audit import Audit, Report
from ops.feed.rebuild import Rebuild
from ops.feed.under_way import UnderWay
from tests.feed_world import T0, Life, World, entry_of, photo

FEED = Feed(cap=20, trim_slack=3, celebrity_threshold=2)
LATER = T0 + 3_600_000
ALL = 10_000
VIEWER, OTHER, FIRST, SECOND, THIRD = range(5)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_audit, "BETWEEN_LOOKS_S", 0.0)


async def life(followed: int = 2) -> Life:
    """Five people; the viewer follows some of the authors and has read the feed."""
    made = Life(await World(FEED, 5).settle())
    people = made.world.people
    for author in (FIRST, SECOND, THIRD)[:followed]:
        await made.follow(people[VIEWER], people[author])
    await made.read(people[VIEWER])
    return made


async def audited(life: Life, way: UnderWay | None = None, since: int = 0) -> Report:
    async def under_way() -> UnderWay:
        return way or UnderWay(LATER)

    return await Audit(life.world, under_way, since, examples=ALL).run()


async def findings(life: Life, way: UnderWay | None = None) -> list[Finding]:
    return (await audited(life, way)).totals.examples


async def explained(life: Life, viewer: str, post_id: str) -> Explanation:
    post, breakers = life.world.photos.rows[post_id], Breakers(Degradation())
    facts = await facts_of(life.world, viewer, post, breakers)
    return explain(facts, under_way=False)


async def one_post(life: Life, author: int = FIRST, number: int = 1) -> FeedEntry:
    post = photo(life.world.people[author], number, number)
    await life.post(post)
    return entry_of(post)


async def test_delivered_posts_are_delivered() -> None:
    made = await life()
    await one_post(made)
    report = await audited(made)
    assert (report.posts, report.totals.eligible, report.totals.delivered) == (1, 1, 1)
    assert report.clean


async def test_a_lost_post_is_found() -> None:
    made = await life()
    entry = await one_post(made)
    viewer = made.world.people[VIEWER]
    await made.world.timelines.remove(viewer, [entry])
    assert await findings(made) == [Finding(Fault.LOST, viewer, entry, Why.MISSING)]
    assert (await explained(made, viewer, entry.post_id)).reason is Reason.LOST


async def test_every_post_behind_a_lost_mark_is_found_and_comes_back_by_the_advice() -> None:
    """A chunk of marks that was never written, whatever became of it."""
    made = await life()
    viewer, other, author = (made.world.people[who] for who in (VIEWER, OTHER, FIRST))
    await made.follow(other, author)
    first = await one_post(made)
    await made.world.timelines.remove_author(viewer, author)
    second = await one_post(made, number=2)
    lost = [Finding(Fault.LOST, viewer, entry, Why.MISSING) for entry in (first, second)]
    found = await findings(made)
    assert sorted(found, key=lambda each: each.entry) == lost
    assert {feed_audit.advice(each) for each in found} == {
        f"photofeed feed rebuild --user {viewer}"
    }
    await Rebuild(made.world, made.world.photos, FEED.cap)(viewer)
    third = await one_post(made, number=3)
    assert (await audited(made)).clean
    assert third.post_id in await made.read(viewer)


async def test_what_is_under_way_is_pending_and_not_lost() -> None:
    made = await life()
    entry = await one_post(made)
    viewer = made.world.people[VIEWER]
    await made.world.timelines.remove(viewer, [entry])
    explaining = (
        UnderWay(LATER, posts=frozenset({entry.post_id})),
        UnderWay(LATER, edges=frozenset({(viewer, entry.author_id)})),
        UnderWay(LATER, since=T0),
        UnderWay(LATER, edges_since=T0 - 1),
        UnderWay(entry.published_at + 29_000),
    )
    for way in explaining:
        totals = (await audited(made, way)).totals
        assert (totals.pending, totals.examples) == (1, [])
    for way in (UnderWay(LATER, posts=frozenset({"ph_other"})), UnderWay(T0 + 31_000)):
        assert (await audited(made, way)).totals.faults[Fault.LOST] == 1


async def test_a_ghost_needs_a_reader_who_is_shown_it() -> None:
    """The filter drops a stranger's post; only a wrong follow set lets it through."""
    made = await life(followed=1)
    post = photo(made.world.people[SECOND], 5, 5)
    await made.world.photos.add(post)
    viewer = made.world.people[VIEWER]
    await made.world.timelines.push(entry_of(post), [viewer])
    report = await audited(made)
    assert report.clean
    assert report.totals.filtered == {Filtered.UNFOLLOWED: 1}
    assert (await explained(made, viewer, post.photo_id)).reason is Reason.NEVER_FOLLOWED
    cache = made.world.follow_cache
    await cache.put_following(viewer, [post.user_id], await cache.following_token(viewer))
    (ghost,) = await findings(made)
    assert ghost == Finding(Fault.GHOST, viewer, entry_of(post), Why.NOT_FOLLOWED)
    assert (await explained(made, viewer, post.photo_id)).reason is Reason.GHOST
    assert post.photo_id in await made.read(viewer)


async def test_a_deleted_post_is_a_ghost_while_its_bytes_are_sent() -> None:
    made = await life()
    entry = await one_post(made)
    viewer = made.world.people[VIEWER]
    await made.read(viewer)
    await made.world.photos.delete(entry.post_id)
    assert await findings(made) == [Finding(Fault.GHOST, viewer, entry, Why.NOT_LIVE)]
    await made.world.post_cache.replace({entry.post_id: b""})
    report = await audited(made)
    assert (report.clean, report.totals.filtered) == (True, {Filtered.DELETED: 1})
    assert (await explained(made, viewer, entry.post_id)).reason is Reason.DELETED


async def test_the_same_post_at_two_places_is_a_duplicate() -> None:
    made = await life()
    entry = await one_post(made)
    viewer = made.world.people[VIEWER]
    twice = entry._replace(published_at=entry.published_at + 1)
    await made.world.timelines.push(twice, [viewer])
    assert await findings(made) == [Finding(Fault.DUPLICATE, viewer, twice, Why.TWICE)]


async def test_a_post_at_a_wrong_place_alone_is_lost_there() -> None:
    made = await life()
    entry = await one_post(made)
    viewer = made.world.people[VIEWER]
    await made.world.timelines.remove(viewer, [entry])
    await made.world.timelines.push(entry._replace(published_at=T0 + 9), [viewer])
    assert await findings(made) == [Finding(Fault.LOST, viewer, entry, Why.MISPLACED)]


async def test_a_post_that_no_build_would_find_is_lost() -> None:
    """Live by id, absent by user: a cold feed will never have it, a warm one has it still."""
    made = await life()
    entry = await one_post(made)
    viewer = made.world.people[VIEWER]
    by_user = made.world.photos.by_user

    async def without(user_id: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        return [each for each in await by_user(user_id, before, limit) if each != entry]

    made.world.photos.by_user = without  # type: ignore[method-assign] # the missing row
    assert (await audited(made)).clean
    await made.world.timelines.drop(viewer)
    assert await findings(made) == [Finding(Fault.LOST, viewer, entry, Why.UNLISTED)]


async def test_a_cold_feed_is_filtered_and_comes_back_by_a_build() -> None:
    made = await life()
    entry = await one_post(made)
    viewer = made.world.people[VIEWER]
    await made.world.timelines.drop(viewer)
    report = await audited(made)
    assert (report.clean, report.totals.filtered) == (True, {Filtered.COLD_FEED: 1})
    assert (await explained(made, viewer, entry.post_id)).in_feed
    assert entry.post_id in await made.read(viewer)


async def test_only_posts_of_the_time_asked_for_are_looked_at() -> None:
    made = await life()
    old, new = await one_post(made, number=1), await one_post(made, number=50)
    await made.world.timelines.remove(made.world.people[VIEWER], [old])
    report = await audited(made, since=new.published_at)
    assert (report.posts, report.totals.eligible, report.clean) == (1, 1, True)


class Moves:
    """What may happen to feeds, and what must not; `chance` says to whom."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.world = life.world
        self.posted = 0

    async def take(self, name: str, number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - a test's chance
        reader = self.world.people[chance.choice((VIEWER, OTHER))]
        author = self.world.people[chance.choice((FIRST, SECOND, THIRD))]
        rows = sorted(self.world.photos.rows)
        if name in ("delete", "lose", "foreign", "bury"):
            if rows:
                entry = entry_of(self.world.photos.rows[chance.choice(rows)])
                await getattr(self, name)(reader, entry)
        else:
            await getattr(self, name)(reader, author)

    async def post(self, _: str, author: str) -> None:
        self.posted += 1
        await self.life.post(photo(author, self.posted, self.posted // 2))

    async def follow(self, reader: str, author: str) -> None:
        await self.life.follow(reader, author)

    async def unfollow(self, reader: str, author: str) -> None:
        await self.life.unfollow(reader, author)

    async def read(self, reader: str, _: str) -> None:
        await self.life.read(reader)

    async def evict(self, reader: str, _: str) -> None:
        await self.world.timelines.drop(reader)

    async def evict_list(self, _: str, author: str) -> None:
        await self.world.pulls.drop(author)

    async def poison(self, reader: str, author: str) -> None:
        token = await self.world.follow_cache.following_token(reader)
        await self.world.follow_cache.put_following(reader, [author], token)

    async def delete(self, _: str, entry: FeedEntry) -> None:
        await self.world.photos.delete(entry.post_id)

    async def lose(self, reader: str, entry: FeedEntry) -> None:
        await self.world.timelines.remove(reader, [entry])

    async def foreign(self, reader: str, entry: FeedEntry) -> None:
        await self.world.timelines.push(entry, [reader])

    async def bury(self, _: str, entry: FeedEntry) -> None:
        await self.world.post_cache.replace({entry.post_id: b""})


NAMES = ["post"] * 6 + ["follow"] * 3 + ["read"] * 2
NAMES += ["unfollow", "delete", "evict", "evict_list", "lose", "foreign", "poison", "bury"]
STEPS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 1 << 16)), min_size=10, max_size=80
)


async def _read_as_told(life: Life, viewer: str, told: dict[str, bool]) -> None:
    """A reader of all pages sees what is in the feed, and nothing else.

    A cold feed may show more: the faults of lists that aren't known before it is built.
    """
    warm = await life.world.timelines.page(viewer, None, 1) is not None
    want = {post_id for post_id, in_feed in told.items() if in_feed}
    seen = set(await life.read(viewer))
    assert seen == want if warm else seen >= want


@settings(max_examples=100, deadline=None)
@given(steps=STEPS, older=st.integers(0, 50), follows=st.integers(0, 1 << 6))
async def test_audit_and_explain_agree_with_each_other_and_with_readers(
    steps: list[tuple[str, int]], older: int, follows: int
) -> None:
    made = Life(await World(FEED, 5).settle())
    moves = Moves(made)
    for number, pair in enumerate(product((VIEWER, OTHER), (FIRST, SECOND, THIRD))):
        if follows >> number & 1:
            await made.follow(*(made.world.people[each] for each in pair))
    for number in range(older):
        await moves.post("", made.world.people[FIRST + number % 3])
    for name, number in steps:
        await moves.take(name, number)
    world = made.world
    totals = (await audited(made)).totals
    faults: defaultdict[Fault, set[tuple[str, str]]] = defaultdict(set)
    for finding in totals.examples:
        faults[finding.fault].add((finding.user_id, finding.entry.post_id))
    reasons: Counter[Reason] = Counter()
    for viewer in world.people:
        told = {post_id: await explained(made, viewer, post_id) for post_id in world.photos.rows}
        reasons.update(answer.reason for answer in told.values())
        for fault, reason in ((Fault.LOST, Reason.LOST), (Fault.GHOST, Reason.GHOST)):
            found = {post_id for user_id, post_id in faults[fault] if user_id == viewer}
            assert found == {p for p, answer in told.items() if answer.reason is reason}
        await _read_as_told(made, viewer, {p: answer.in_feed for p, answer in told.items()})
    given_by = (Reason.PUSHED, Reason.PULLED, Reason.BUILT, Reason.BACKFILLED)
    assert totals.delivered == sum(reasons[reason] for reason in given_by)
    assert totals.filtered[Filtered.COLD_FEED] == reasons[Reason.COLD_FEED]
    assert totals.filtered[Filtered.BELOW_FLOOR] == reasons[Reason.BELOW_FLOOR]
    cached = totals.filtered[Filtered.COLD_FEED] + totals.filtered[Filtered.BELOW_FLOOR]
    assert totals.eligible == totals.delivered + cached + totals.faults[Fault.LOST]
    live = sum(post.status is PhotoStatus.PUBLISHED for post in world.photos.rows.values())
    assert (await audited(made)).posts == live
    await made.reader.close()
