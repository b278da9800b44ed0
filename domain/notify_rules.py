"""Who is told of what (pure; seed section 4)."""

import re
from collections.abc import Mapping

from domain.entities import Notification
from domain.ids import WIDTH
from schemas.events import CommentCreated, Event, FollowCreated, LikeCreated

Noticed = LikeCreated | CommentCreated | FollowCreated
_NAME = re.compile(r"(?<![\w@.])@([A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)")
MENTIONS = 20
"""Names of one comment that are looked up; the rest is taken for spam."""


def mentioned(text: str) -> tuple[str, ...]:
    """The usernames that follow an `@` in a text, lower case, each once, in order."""
    return tuple(dict.fromkeys(name.lower() for name in _NAME.findall(text)))[:MENTIONS]


def decide(event: Noticed, people: Mapping[str, str] | None = None) -> list[Notification]:
    """The notifications of an event: one a person at most, none for one's own doing.

    Args:
        event: what happened.
        people: user id by mentioned name, for those that exist.
    """
    if isinstance(event, LikeCreated):
        told = [_notice(event, event.author_id, "like", event.user_id, event.post_id)]
    elif isinstance(event, FollowCreated):
        told = [_notice(event, event.followee_id, "follow", event.follower_id, None)]
    else:
        told = [_notice(event, event.author_id, "comment", event.user_id, event.post_id)]
        told += [
            _notice(event, user_id, "mention", event.user_id, event.post_id)
            for user_id in (people or {}).values()
        ]
    first_of_each = {notice.user_id: notice for notice in reversed(told)}
    return [n for n in reversed(first_of_each.values()) if n.user_id != n.actor_id]


def _notice(
    event: Event, user_id: str, kind: str, actor_id: str, post_id: str | None
) -> Notification:
    # The event's own number: it orders by time, is the same on every retry, and no two events
    # share it; a person gets at most one notification of an event, so within a list it is unique.
    return Notification(
        notification_id=f"nt_{event.event_id[:WIDTH]}",
        user_id=user_id,
        type=kind,
        actor_id=actor_id,
        post_id=post_id,
        created_at=event.occurred_at,
    )
