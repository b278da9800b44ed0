"""like.created, comment.created, follow.created → in-app rows, notification.requested.

Tells the author of a like or a comment, the people a comment mentions, and whoever is followed
(seed section 4). The row is durable before anyone's device is asked to ring.
"""

from collections.abc import Sequence

from domain.entities import Notification
from domain.ids import derived
from domain.notify_rules import Noticed, decide, mentioned
from domain.ports.accounts import Users
from domain.ports.reactions import Notifications
from schemas.events import CommentCreated, NotificationRequested
from streams.runtime.stage import Emit
from topics.catalog import NOTIFICATION_REQUESTED


def requested(event: Noticed, notice: Notification) -> NotificationRequested:
    """The event that rings a person's devices; a retry makes the same one."""
    return NotificationRequested(
        event_id=derived(event.event_id, f"notify.{notice.user_id}"),
        occurred_at=event.occurred_at,
        version=event.version,
        notification_id=notice.notification_id,
        user_id=notice.user_id,
        type=notice.type,
        actor_id=notice.actor_id,
        post_id=notice.post_id,
    )


class Notify:
    """The handler of all three."""

    def __init__(self, notifications: Notifications, users: Users) -> None:
        self._notifications = notifications
        self._users = users

    async def __call__(self, event: Noticed) -> Sequence[Emit]:
        """Store and emit each notification; twice is once. Raises StoreAway, Transient."""
        people = await self._people(event.text) if isinstance(event, CommentCreated) else {}
        notices = decide(event, people)
        for notice in notices:
            await self._notifications.add(notice)
        return [Emit(NOTIFICATION_REQUESTED, requested(event, notice)) for notice in notices]

    async def _people(self, text: str) -> dict[str, str]:
        found = {name: await self._users.by_name(name) for name in mentioned(text)}
        return {name: known[0].user_id for name, known in found.items() if known is not None}
