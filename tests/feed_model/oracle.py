"""What feeds must be, told by one thread over plain sets: the whole specification, to be read."""

from dataclasses import dataclass, field

from domain.entities import FeedEntry

Pair = tuple[str, str]


@dataclass(slots=True)
class Post:
    """A post that was published; `number` counts them in that order."""

    entry: FeedEntry
    number: int
    words: str
    live: bool = True


@dataclass(slots=True)
class Doubt:
    """What events that are still on their way leave open; nothing once all are settled."""

    edges: set[Pair] = field(default_factory=set)  # (follower, author): changed lately
    posts: set[str] = field(default_factory=set)  # on their way into feeds, or out of them
    gone: set[Pair | str] = field(default_factory=set)  # of both, what may be shown a while longer
    looks: set[str] = field(default_factory=set)  # may be shown with older words or counts


@dataclass(slots=True)
class Oracle:
    """Who follows whom, what was posted, who likes what."""

    follows: set[Pair] = field(default_factory=set)
    posts: dict[str, Post] = field(default_factory=dict)
    likes: set[Pair] = field(default_factory=set)

    def feed(self, viewer: str) -> list[FeedEntry]:
        """Live posts of those the viewer follows, newest first."""
        live = [post.entry for post in self.posts.values() if post.live]
        return sorted((e for e in live if (viewer, e.author_id) in self.follows), reverse=True)

    def certain(self, viewer: str, doubt: Doubt) -> set[str]:
        """Posts that a reader of all pages must see."""
        return {
            entry.post_id
            for entry in self.feed(viewer)
            if entry.post_id not in doubt.posts and (viewer, entry.author_id) not in doubt.edges
        }

    def possible(self, viewer: str, doubt: Doubt) -> set[str]:
        """Posts that a reader may see."""
        edges = self.follows | doubt.gone
        return {
            post_id
            for post_id, post in self.posts.items()
            if (post.live or post_id in doubt.gone) and (viewer, post.entry.author_id) in edges
        }

    def looks(self, viewer: str, post_id: str) -> tuple[str, int, bool]:
        """(words, likes, liked by the viewer)."""
        likers = {user for user, liked in self.likes if liked == post_id}
        return self.posts[post_id].words, len(likers), viewer in likers
