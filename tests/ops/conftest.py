"""Fixtures of the operators' tests: Kafka's administration, and topics of a test's own."""

from collections.abc import Callable, Iterator

import pytest

from domain.settings import Settings
from stores.kafka_admin import KafkaAdmin
from tests.fresh import fresh_id
from topics.plan import Spec


@pytest.fixture(scope="session")
def admin(settings: Settings) -> KafkaAdmin:
    """The running cluster."""
    return KafkaAdmin(settings.address("kafka"))


@pytest.fixture
def side_topic(admin: KafkaAdmin) -> Iterator[Callable[..., str]]:
    """Makes topics of a test's own; they go afterwards, or `topics plan` would show them."""
    made: list[str] = []

    def make(partitions: int = 1) -> str:
        made.append(f"side.{fresh_id()}")
        admin.create([Spec(made[-1], partitions, 1, {}, keyed=False)])
        return made[-1]

    yield make
    admin.delete(made)
