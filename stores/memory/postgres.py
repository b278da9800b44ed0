"""Twins of the PostgreSQL adapters but for graph and outbox (graph.py). Each call is atomic."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from domain.entities import User
from domain.errors import Transient
from domain.threshold import Move, Why, WriterLoad

_MACHINES = 1024
_CLAIM_S = 30.0
_KEEP_S = 24 * 3600.0
Clock = Callable[[], float]


class MemoryUsers:
    """Twin of PostgresUsers."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._hashes: dict[str, str] = {}

    async def add(self, user: User, password_hash: str) -> bool:
        """Store a new account; False when the username is taken (case-insensitively)."""
        found = await self.by_name(user.username)
        if found is None and user.user_id not in self._users:
            self._users[user.user_id] = user
            self._hashes[user.user_id] = password_hash
            return True
        return found is not None and found[0].user_id == user.user_id

    async def get(self, user_id: str) -> User | None:
        """The profile, or None."""
        return self._users.get(user_id)

    async def get_many(self, user_ids: Sequence[str]) -> dict[str, User]:
        """Those of `user_ids` that exist."""
        return {each: self._users[each] for each in user_ids if each in self._users}

    async def ids_after(self, user_id: str, limit: int) -> list[str]:
        """Everyone's ids in order, strictly after one."""
        return sorted(each for each in self._users if each > user_id)[:limit]

    async def by_name(self, username: str) -> tuple[User, str] | None:
        """Profile and password hash by username, case-insensitively."""
        for user in self._users.values():
            if user.username.lower() == username.lower():
                return user, self._hashes[user.user_id]
        return None

    async def update(
        self,
        user_id: str,
        *,
        display_name: str | None = None,
        bio: str | None = None,
        avatar_photo_id: str | None = None,
    ) -> User | None:
        """Change what is given; the profile afterwards, or None when there is none."""
        user = self._users.get(user_id)
        if user is None:
            return None
        changed = replace(
            user,
            display_name=user.display_name if display_name is None else display_name,
            bio=user.bio if bio is None else bio,
            avatar_photo_id=user.avatar_photo_id if avatar_photo_id is None else avatar_photo_id,
        )
        self._users[user_id] = changed
        return changed


class MemoryCelebrities:
    """Twin of PostgresCelebrities."""

    def __init__(self) -> None:
        self._flags: dict[str, tuple[int, int]] = {}
        self._threshold: int | None = None
        self._pulled: dict[str, str] = {}  # the post that told of it, "" before

    async def flag(self, user_id: str, followers: int, now: int) -> None:
        """Mark as a celebrity; once set, later calls change nothing until cleared."""
        self._flags.setdefault(user_id, (followers, now))

    async def is_flagged(self, user_id: str) -> bool:
        """Whether the flag is set."""
        return user_id in self._flags

    async def flagged(self) -> list[tuple[str, int, int]]:
        """All of them by id: (user_id, followers when flagged, flagged at)."""
        return [(user_id, *self._flags[user_id]) for user_id in sorted(self._flags)]

    async def clear(self, user_id: str) -> bool:
        """Take the flag away; False when it wasn't set."""
        return self._flags.pop(user_id, None) is not None

    async def start_pulling(self, user_id: str, post_id: str) -> bool:
        """Readers pull this author from now on; whether this post tells the followers."""
        return self._pulled.setdefault(user_id, "") in {"", post_id}

    async def pulling_told(self, user_id: str, post_id: str) -> None:
        """The followers are told by this post; the first call counts."""
        self._pulled[user_id] = self._pulled[user_id] or post_id

    async def pulling_untold(self, user_id: str, post_id: str) -> None:
        """Not all followers could be told by this post: if no other has told, the next one does."""
        if self._pulled.get(user_id) == post_id:
            self._pulled[user_id] = ""

    async def pulled_among(self, user_ids: Sequence[str]) -> list[str]:
        """Those of them whose posts are to be pulled, sorted."""
        return sorted(self._pulled.keys() & set(user_ids))

    async def threshold(self) -> int | None:
        """The operator's live threshold, None when never set."""
        return self._threshold

    async def set_threshold(self, followers: int) -> None:
        """Set the live threshold."""
        self._threshold = followers


class MemoryPushLimit:
    """Twin of PostgresPushLimit."""

    def __init__(self) -> None:
        self._loads: dict[str, tuple[int, WriterLoad]] = {}
        self._followers: int | None = None
        self._stepped_at = 0

    async def report(self, writer: str, load: WriterLoad, now: int) -> None:
        """Keep what a writer measured last."""
        self._loads[writer] = (now, load)

    async def step(
        self, since: int, now: int, decide: Callable[[int | None, Sequence[WriterLoad]], Move]
    ) -> Move | None:
        """Move the threshold, unless it was moved since."""
        if self._stepped_at > since:
            return None
        self._loads = {name: kept for name, kept in self._loads.items() if kept[0] > since}
        move = decide(self._followers, [self._loads[name][1] for name in sorted(self._loads)])
        self._followers = move.followers
        if move.why is not Why.STEADY:
            self._stepped_at = now
        return move

    async def followers(self) -> int | None:
        """Where the threshold is, None before the first step."""
        return self._followers


@dataclass(frozen=True, slots=True)
class _Answer:
    fingerprint: str
    status: int
    body: bytes
    expires_at: float


class MemoryIdempotencyKeys:
    """Twin of PostgresIdempotencyKeys."""

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._answers: dict[tuple[str, str], _Answer] = {}

    async def begin(self, user_id: str, key: str, fingerprint: str) -> _Answer | None:
        """Claim the key, or give what is stored (`status` 0 while the first still runs)."""
        found = self._answers.get((user_id, key))
        if found is not None and found.expires_at >= self._clock():
            return found
        self._answers[user_id, key] = _Answer(fingerprint, 0, b"", self._clock() + _CLAIM_S)
        return None

    async def finish(self, user_id: str, key: str, status: int, body: bytes) -> None:
        """Keep the first answer for 24 h; a later one changes nothing."""
        found = self._answers.get((user_id, key))
        if found is not None and found.status == 0:
            until = self._clock() + _KEEP_S
            self._answers[user_id, key] = _Answer(found.fingerprint, status, body, until)

    async def release(self, user_id: str, key: str) -> None:
        """Forget a claim whose call failed, so that it may be tried again."""
        found = self._answers.get((user_id, key))
        if found is not None and found.status == 0:
            del self._answers[user_id, key]


@dataclass(slots=True)
class _Machine:
    holder: str | None = None
    expires_at: float = 0.0
    used_until: int = 0


class MemoryMachineLeases:
    """Twin of PostgresMachineLeases; `clock` is the server's."""

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._machines = [_Machine() for _ in range(_MACHINES)]

    async def acquire(self, holder: str, ttl_s: float, use_until: int) -> tuple[int, int]:
        """A free machine id and the last millisecond that a former holder was granted."""
        now = self._clock()
        free = [n for n, machine in enumerate(self._machines) if machine.expires_at < now]
        if not free:
            raise Transient("every machine id is leased")
        machine_id = min(free, key=lambda n: (self._machines[n].used_until, n))
        before = self._machines[machine_id].used_until
        self._machines[machine_id] = _Machine(holder, now + ttl_s, max(before, use_until))
        return machine_id, before

    async def renew(self, machine_id: int, holder: str, ttl_s: float, use_until: int) -> bool:
        """Extend the lease and the granted range; False when it is no longer the holder's."""
        machine = self._machines[machine_id]
        if machine.holder != holder:
            return False
        machine.expires_at = self._clock() + ttl_s
        machine.used_until = max(machine.used_until, use_until)
        return True

    async def release(self, machine_id: int, holder: str, used_until: int) -> None:
        """Give the id back, remembering the last millisecond it was really used for."""
        if self._machines[machine_id].holder == holder:
            self._machines[machine_id] = _Machine(used_until=used_until)
