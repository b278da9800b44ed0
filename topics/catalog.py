"""All event topics (contract, section 3). No other module spells a topic's name."""

from typing import Any

from schemas import events as e
from topics.topic import Topic

UPLOAD_COMPLETED = Topic(
    "upload.completed", e.UploadCompleted, "photo_id", made_outside=("api", "reconciler")
)
PHOTO_PROCESSED = Topic("photo.processed", e.PhotoProcessed, "photo_id")
PHOTO_REJECTED = Topic("photo.rejected", e.PhotoRejected, "photo_id", read_outside=("moderation",))
POST_PUBLISHED = Topic("post.published", e.PostPublished, "user_id")
POST_EDITED = Topic("post.edited", e.PostEdited, "user_id", made_outside=("api",))
POST_DELETED = Topic("post.deleted", e.PostDeleted, "user_id", made_outside=("api",))
FANOUT_CHUNK = Topic("fanout.chunk", e.FanoutChunk, "post_id:chunk_no")
FOLLOW_CREATED = Topic(
    "follow.created", e.FollowCreated, "followee_id", made_outside=("outbox relay",)
)
FOLLOW_DELETED = Topic(
    "follow.deleted", e.FollowDeleted, "followee_id", made_outside=("outbox relay",)
)
LIKE_CREATED = Topic("like.created", e.LikeCreated, "post_id", made_outside=("api",))
LIKE_DELETED = Topic("like.deleted", e.LikeDeleted, "post_id", made_outside=("api",))
COMMENT_CREATED = Topic("comment.created", e.CommentCreated, "post_id", made_outside=("api",))
COMMENT_DELETED = Topic("comment.deleted", e.CommentDeleted, "post_id", made_outside=("api",))
NOTIFICATION_REQUESTED = Topic(
    "notification.requested", e.NotificationRequested, "user_id", read_outside=("push gateways",)
)
USER_ERASED = Topic(
    "user.erased",
    e.UserErased,
    "user_id",
    made_outside=("erasure",),
    read_outside=("every store's erasure step",),
)
STAGE_TRACED = Topic(
    "stage.traced",
    e.StageTraced,
    "photo_id",
    retention_hours=24,
    made_outside=("every stage",),
    read_outside=("photofeed trace",),
)

EVENT_TOPICS: tuple[Topic[Any], ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Topic)
)
BY_NAME: dict[str, Topic[Any]] = {topic.name: topic for topic in EVENT_TOPICS}
