"""Who takes part in the demo and what they do: a pure function of a seed."""

import random
from dataclasses import dataclass

NAMES = (
    "mira", "jonas", "amara", "theo", "lucia", "kenji",
    "noor", "elif", "pavel", "sade", "ines", "oskar",
)  # fmt: skip
COMMENTS = (
    "What a light!",
    "I was there last spring, lovely place.",
    "The colours are wonderful.",
    "Where exactly is this?",
    "Hanging this on my wall.",
    "You have an eye for this.",
)


@dataclass(frozen=True, slots=True)
class Script:
    """The demo's cast and deeds; people are indices into `names`, uploads indices of their own.

    `follows` are (follower, followee) in the order they happen; `undone` are the follows taken back
    before anything is posted; `posters[i]` is who makes upload i; `likes` and `comments` speak of
    uploads.
    """

    names: tuple[str, ...]
    follows: tuple[tuple[int, int], ...]
    undone: tuple[tuple[int, int], ...]
    posters: tuple[int, ...]
    likes: tuple[tuple[int, int], ...]
    comments: tuple[tuple[int, int, str], ...]

    def followers(self, person: int) -> set[int]:
        """Who follows `person` when everything is said and done."""
        return {a for a, b in self.follows if b == person and (a, b) not in self.undone}

    def followees(self, person: int) -> set[int]:
        """Whom `person` follows when everything is said and done."""
        return {b for a, b in self.follows if a == person and (a, b) not in self.undone}


def write_script(uploads: int, seed: int) -> Script:
    """A small town: the first is followed by all, the last two by nobody, one follows nobody."""
    rng = random.Random(seed)  # noqa: S311 - a repeatable cast, no secret
    people = range(len(NAMES))
    hub, reader_of_none, unknown = 0, len(NAMES) - 1, {len(NAMES) - 1, len(NAMES) - 2}
    follows = [(person, hub) for person in people if person not in (hub, reader_of_none)]
    for person in people:
        if person == reader_of_none:
            continue
        others = [o for o in people if o not in (person, hub) and o not in unknown]
        follows += [(person, other) for other in rng.sample(others, rng.randint(2, 5))]
    undone = tuple(rng.sample(follows, 3))
    posters = tuple((list(people) * (uploads // len(NAMES) + 1))[:uploads])
    readers = {upload: _audience(follows, undone, poster) for upload, poster in enumerate(posters)}
    likes = tuple(
        (reader, upload)
        for upload, audience in readers.items()
        for reader in sorted(audience)
        if rng.random() < 0.5  # noqa: PLR2004 - every other reader likes it
    )
    comments = tuple(
        (rng.choice(sorted(audience)), upload, rng.choice(COMMENTS))
        for upload, audience in readers.items()
        if audience
    )
    return Script(NAMES, tuple(follows), undone, posters, likes, comments)


def _audience(
    follows: list[tuple[int, int]], undone: tuple[tuple[int, int], ...], poster: int
) -> set[int]:
    return {a for a, b in follows if b == poster and (a, b) not in undone}
