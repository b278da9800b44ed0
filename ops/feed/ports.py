"""The stores that the truth about feeds is read from."""

from typing import Protocol

from api.feed.builder import BuildStores
from domain.ports.accounts import Users
from domain.ports.feeds import PostCache
from domain.ports.graph import FollowCache


class TruthStores(BuildStores, Protocol):
    """What feeds are built from and into, and what their readers are shown."""

    @property
    def users(self) -> Users:
        """Everyone."""

    @property
    def follow_cache(self) -> FollowCache:
        """The cached follow sets, the readers' filter."""

    @property
    def post_cache(self) -> PostCache:
        """The bytes that readers are sent."""
