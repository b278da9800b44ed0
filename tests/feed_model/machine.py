"""Hypothesis' state machine over a `Life`: every rule is one step, every step ends in a read."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.feed_model.life import Life
from topics import catalog
from topics.topic import Topic

PEOPLE = 6
WALKS = 3
REPLAYED = (
    catalog.POST_PUBLISHED,
    catalog.FANOUT_CHUNK,
    catalog.FOLLOW_CREATED,
    catalog.FOLLOW_DELETED,
    catalog.LIKE_CREATED,
    catalog.POST_DELETED,
)

person = st.integers(0, PEOPLE - 1)
number = st.integers(0, 1 << 16)
calls = st.integers(0, 9)
limits = st.integers(1, 12)
with_posts = precondition(lambda self: any(post.live for post in self.life.oracle.posts.values()))
with_pending = precondition(lambda self: self.life.system.pending)
laters = st.lists(st.sampled_from([0, 0, 0, 1, 2, -3]), min_size=1, max_size=6)

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class FeedMachine(RuleBasedStateMachine):
    """Acts on the system and the oracle alike; `run` runs a coroutine to its end."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, Life]], run: Run) -> None:
        super().__init__()
        self.run = run
        self.life: Life = run(begin())
        self.steps = 0
        self.next_reader: str | None = None

    def who(self, index: int) -> str:
        return self.life.people[index]

    def a_post(self, index: int) -> str:
        """One that lives, of the newest four or of all."""
        posts = [post_id for post_id, post in self.life.oracle.posts.items() if post.live]
        return posts[-1 - index % len(posts) % (4 if index % 2 else len(posts))]

    @initialize(
        edges=st.lists(st.booleans(), min_size=PEOPLE**2, max_size=PEOPLE**2),
        authors=st.lists(st.integers(0, 2), min_size=25, max_size=70),
    )
    def a_past(self, edges: list[bool], authors: list[int]) -> None:
        """A graph of about half of the pairs; posts of a few, some sharing a millisecond."""
        for pair, follows in enumerate(edges):
            if follows:
                self.follow(*divmod(pair, PEOPLE), heard=True, prompt=False)
        for place, author in enumerate(authors):
            self.post(author, [place % 3 // 2], prompt=False)
        self.settle()

    def _show(self, author: str) -> None:
        """Some follower reads next."""
        followers = sorted(who for who, whom in self.life.oracle.follows if whom == author)
        if followers:
            self.next_reader = followers[self.steps % len(followers)]

    def _do(self, act: Coroutine[Any, Any, None], *, prompt: bool = False) -> None:
        """Do it; if the stages are prompt, nothing is on its way afterwards."""
        self.run(act)
        if prompt:
            self.settle()

    # --- people ---------------------------------------------------------------------------------

    @rule(viewer=person, author=person, heard=st.booleans(), prompt=st.booleans())
    def follow(self, viewer: int, author: int, heard: bool, prompt: bool) -> None:
        if viewer != author:
            who = self.who(viewer), self.who(author)
            self._do(self.life.follow(*who, follow=True, heard=heard), prompt=prompt)
            self.next_reader = who[0]

    @precondition(lambda self: self.life.oracle.follows)
    @rule(which=number, heard=st.booleans(), prompt=st.booleans())
    def unfollow(self, which: int, heard: bool, prompt: bool) -> None:
        edges = sorted(self.life.oracle.follows)
        edge = edges[which % len(edges)]
        self._do(self.life.follow(*edge, follow=False, heard=heard), prompt=prompt)
        self.next_reader = edge[0]

    @precondition(lambda self: self.life.oracle.follows)
    @rule(which=number, changes=st.integers(2, 3), heard=st.booleans())
    def waver(self, which: int, changes: int, heard: bool) -> None:
        """Unfollow, follow again, perhaps unfollow for good, before any stage hears of it."""
        edges = sorted(self.life.oracle.follows)
        edge = edges[which % len(edges)]
        for change in range(changes):
            self._do(self.life.follow(*edge, follow=bool(change % 2), heard=heard))
        self.next_reader = edge[0]

    @rule(author=person, laters=laters, prompt=st.booleans())
    def post(self, author: int, laters: list[int], prompt: bool) -> None:
        for later in laters:
            self._do(self.life.post(self.who(author), later), prompt=prompt)
        self._show(self.who(author))

    @with_posts
    @rule(which=number, heard=st.booleans(), prompt=st.booleans())
    def delete(self, which: int, heard: bool, prompt: bool) -> None:
        post_id = self.a_post(which)
        self._do(self.life.delete(post_id, heard=heard), prompt=prompt)
        self._show(self.life.oracle.posts[post_id].entry.author_id)

    @with_posts
    @rule(which=number, prompt=st.booleans())
    def edit(self, which: int, prompt: bool) -> None:
        post_id = self.a_post(which)
        self._do(self.life.edit(post_id), prompt=prompt)
        self._show(self.life.oracle.posts[post_id].entry.author_id)

    @with_posts
    @rule(user=person, which=number, prompt=st.booleans())
    def like(self, user: int, which: int, prompt: bool) -> None:
        self._do(self.life.like(self.who(user), self.a_post(which), liked=True), prompt=prompt)

    @precondition(lambda self: self.life.oracle.likes)
    @rule(which=number, prompt=st.booleans())
    def unlike(self, which: int, prompt: bool) -> None:
        likes = sorted(self.life.oracle.likes)
        self._do(self.life.like(*likes[which % len(likes)], liked=False), prompt=prompt)

    # --- workers --------------------------------------------------------------------------------

    @with_pending
    @rule(choices=st.lists(number, min_size=1, max_size=12))
    def work(self, choices: list[int]) -> None:
        for choice in choices:
            self.run(self.life.system.work(choice))

    @with_pending
    @rule()
    def settle(self) -> None:
        self.run(self.life.system.settle())

    @with_pending
    @rule(which=number, after=calls)
    def kill_worker(self, which: int, after: int) -> None:
        self.run(self.life.system.kill_worker(which, after))

    @rule(which=number)
    def redeliver(self, which: int) -> None:
        self.life.system.redeliver(which)

    @rule(topic=st.sampled_from(REPLAYED))
    def replay(self, topic: Topic[Any]) -> None:
        self.life.system.replay(topic)

    # --- operators and the cache ----------------------------------------------------------------

    @rule(user=person)
    def flag(self, user: int) -> None:
        self.run(self.life.flag(self.who(user)))

    @rule(user=person)
    def clear(self, user: int) -> None:
        self.run(self.life.clear(self.who(user)))

    @rule(followers=st.integers(2, PEOPLE))
    def threshold(self, followers: int) -> None:
        self.run(self.life.ports.celebrities.set_threshold(followers))

    @rule()
    def flush(self) -> None:
        self.run(self.life.ports.flush())

    @rule(which=st.lists(number, min_size=1, max_size=5))
    def evict(self, which: list[int]) -> None:
        for each in which:
            self.run(self.life.ports.evict(each))

    @rule(viewer=person)
    def rebuild(self, viewer: int) -> None:
        self.run(self.life.rebuild(self.who(viewer)))

    # --- readers --------------------------------------------------------------------------------

    @rule(viewer=person, limit=limits)
    def begin_walk(self, viewer: int, limit: int) -> None:
        if len(self.life.walks) < WALKS:
            self.run(self.life.turn(self.life.begin_walk(self.who(viewer), limit)))

    @precondition(lambda self: self.life.walks)
    @rule(which=number)
    def turn(self, which: int) -> None:
        walks = self.life.walks
        self.run(self.life.turn(walks[which % len(walks)]))

    @rule()
    def restart_api(self) -> None:
        self.run(self.life.system.restart_api())

    @rule(viewer=person, after=calls)
    def kill_reader(self, viewer: int, after: int) -> None:
        reader = self.life.system.reader
        read = partial(reader.home, self.who(viewer), None, 5)
        self.run(self.life.system.kill_reader(after, read))

    @invariant()
    def somebody_reads(self) -> None:
        """All pages of one feed are what they can be by now; of one that changed, if any did."""
        self.steps += 1
        self.life.note()
        viewer = self.next_reader or self.who(self.steps % PEOPLE)
        self.next_reader = None
        self.run(self.life.read_all(viewer, 1 + self.steps % 12))

    def teardown(self) -> None:
        self.run(self.life.check())
        self.run(self.life.system.reader.close())
