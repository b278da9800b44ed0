"""Is every post in every feed it belongs to, once, and in no other? Pure (I1).

A pair is a live post and a present follower of its author. Each pair is delivered, filtered for a
reason, pending or lost; what a reader would see without being such a pair is a ghost, and a post
that they would see twice a duplicate. Entries of a set that the filter drops do no harm: they are
counted as filtered, too, but are no pairs.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum

from domain.entities import FeedEntry, Photo, PhotoStatus
from domain.feed_view import Sight, Sights, View

FRESH_MS = 30_000
"""How long a post or a follow may take into a feed (contract, "What a feed is")."""

_DELIVERED = frozenset({Sight.IN_SET, Sight.IN_LIST, Sight.COLD_LIST})


class Filtered(StrEnum):
    """Why something isn't in the caches, or is there and isn't shown. The first two are pairs."""

    COLD_FEED = "cold_feed"
    BELOW_FLOOR = "below_floor"
    UNFOLLOWED = "unfollowed"
    DELETED = "deleted"
    UNKNOWN_POST = "unknown_post"
    BEING_REMOVED = "being_removed"


class Fault(StrEnum):
    """What is wrong with a feed."""

    LOST = "lost"
    GHOST = "ghost"
    DUPLICATE = "duplicate"


class Why(StrEnum):
    """How it is wrong."""

    HIDDEN = "hidden"
    GONE = "gone"
    UNLISTED = "unlisted"
    MISSING = "missing"
    MISPLACED = "misplaced"
    NOT_FOLLOWED = "not_followed"
    NOT_LIVE = "not_live"
    OTHER_AUTHOR = "other_author"
    TWICE = "twice"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: which reader, which entry, how."""

    fault: Fault
    user_id: str
    entry: FeedEntry
    why: Why


@dataclass(slots=True)
class Tally:
    """One reader's feed: pairs by what became of them, harmless entries among `filtered`."""

    eligible: int = 0
    delivered: int = 0
    pending: int = 0
    filtered: Counter[Filtered] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def explained(self, finding: Finding) -> None:
        """Take a finding back: an event that will mend it hasn't been handled yet."""
        self.findings.remove(finding)
        if finding.fault is Fault.LOST:
            self.pending += 1
        else:
            self.filtered[Filtered.BEING_REMOVED] += 1

    def not_eligible(self, finding: Finding) -> None:
        """Take a lost pair back: the post isn't live."""
        self.findings.remove(finding)
        self.eligible -= 1
        self.filtered[Filtered.DELETED] += 1


@dataclass(slots=True)
class Totals:
    """All readers' feeds, with a few examples of each fault."""

    eligible: int = 0
    delivered: int = 0
    pending: int = 0
    filtered: Counter[Filtered] = field(default_factory=Counter)
    faults: Counter[Fault] = field(default_factory=Counter)
    examples: list[Finding] = field(default_factory=list)

    def add(self, tally: Tally, examples: int) -> None:
        """Count one reader's, and keep at most so many examples of each fault."""
        self.eligible += tally.eligible
        self.delivered += tally.delivered
        self.pending += tally.pending
        self.filtered += tally.filtered
        for finding in tally.findings:
            self.faults[finding.fault] += 1
            if self.faults[finding.fault] <= examples:
                self.examples.append(finding)


@dataclass(frozen=True, slots=True)
class Strangers:
    """What must be known of entries that are shown without being pairs.

    `rows` are the posts as the durable store has them, `ready` the cached bytes that a reader would
    be sent (None: absent, b"": deleted), `follows` whom the reader follows in truth.
    """

    rows: Mapping[str, Photo]
    ready: Mapping[str, bytes | None]
    follows: AbstractSet[str]


class FeedAudit:
    """The audit of one reader's feed: `pairs` first, then `strangers` if there are any."""

    def __init__(self, user_id: str, view: View, eligible: Sequence[FeedEntry]) -> None:
        """`eligible` are the posts that the durable stores say the reader is to see."""
        self._user_id = user_id
        self._view = view
        self._sights = Sights(view)
        self._eligible = eligible
        self._pairs = set(eligible)
        self.tally = Tally(eligible=len(eligible))

    def pairs(self) -> None:
        """Judge every pair."""
        for entry in self._eligible:
            sight = self._sights.of(entry)
            if sight in _DELIVERED:
                self.tally.delivered += 1
            elif sight in (Sight.COLD_FEED, Sight.BELOW_FLOOR):
                self.tally.filtered[Filtered(sight)] += 1
            else:
                self._find(Fault.LOST, entry, Why(sight))

    def unexpected(
        self, since: int, until: int, unfollowed: Sequence[FeedEntry] = ()
    ) -> list[FeedEntry]:
        """What is shown that is no pair, of the time that is looked at (both inclusive).

        `unfollowed` are the posts of authors whom the filter lets through by mistake: below the
        floor they are read from the durable stores.
        """
        below = {entry for entry in unfollowed if self._sights.is_below(entry)}
        shown = (self._sights.shown() | below) - self._pairs
        return [each for each in shown if since <= each.published_at <= until]

    def strangers(self, shown: Sequence[FeedEntry], known: Strangers) -> None:
        """Judge what is shown and is no pair."""
        seen = {
            each.post_id for each in self._sights.shown() & self._pairs if self._passes(each, known)
        }
        copies: defaultdict[str, int] = defaultdict(int)
        for each in sorted(shown, reverse=True):
            reason = self._drops(each, known)
            if reason is not None:
                self.tally.filtered[reason] += 1
                continue
            copies[each.post_id] += 1
            if each.post_id in seen or copies[each.post_id] > 1:
                self._find(Fault.DUPLICATE, each, Why.TWICE)
            else:
                self._lone(each, known)

    def _lone(self, entry: FeedEntry, known: Strangers) -> None:
        """The only copy that is shown of a post, and it is no pair."""
        row = known.rows.get(entry.post_id)
        live = row is not None and row.status is PhotoStatus.PUBLISHED
        if row is None or not live:
            self._find(Fault.GHOST, entry, Why.NOT_LIVE)
        elif row.user_id != entry.author_id:
            self._find(Fault.GHOST, entry, Why.OTHER_AUTHOR)
        elif entry.author_id not in known.follows:
            self._find(Fault.GHOST, entry, Why.NOT_FOLLOWED)
        elif row.published_at != entry.published_at:
            self._misplaced(entry.post_id, entry)
        # Else it is a pair that came after the durable stores were read.

    def _misplaced(self, post_id: str, entry: FeedEntry) -> None:
        """Shown once, but at a wrong place: the pair itself is lost, with that reason."""
        for number, found in enumerate(self.tally.findings):
            if found.fault is Fault.LOST and found.entry.post_id == post_id:
                moved = Finding(Fault.LOST, self._user_id, found.entry, Why.MISPLACED)
                self.tally.findings[number] = moved
                return
        self._find(Fault.DUPLICATE, entry, Why.MISPLACED)  # the right one is below the cut

    def _drops(self, each: FeedEntry, known: Strangers) -> Filtered | None:
        """Why a reader wouldn't be shown this entry; None: they would."""
        if each.author_id not in self._view.passing:
            return Filtered.UNFOLLOWED
        ready, row = known.ready.get(each.post_id), known.rows.get(each.post_id)
        if ready:
            return None
        if row is None:
            return Filtered.UNKNOWN_POST
        live = row.status is PhotoStatus.PUBLISHED and ready is None
        return None if live else Filtered.DELETED

    def _passes(self, each: FeedEntry, known: Strangers) -> bool:
        return each.author_id in self._view.passing and known.ready.get(each.post_id) != b""

    def _find(self, fault: Fault, entry: FeedEntry, why: Why) -> None:
        self.tally.findings.append(Finding(fault, self._user_id, entry, why))
