"""`photofeed topics`: the declared topics against the cluster's.

`plan` shows the difference (exit 1 when there is one), `apply` mends what can be mended, `list`
shows every declared topic. Adding partitions to a keyed topic moves its keys, so it wants
`--allow-repartition`.
"""

import dataclasses
from typing import Any

import click

from domain import settings as settings_tree
from domain.settings import Settings
from ops.output import json_option
from ops.report import show
from stores.kafka_admin import KafkaAdmin
from streams.topology import TOPOLOGY
from topics.catalog import EVENT_TOPICS
from topics.plan import Declared, Plan, Spec, plan, spec_of


def declared(brokers: int) -> tuple[Spec, ...]:
    """Every topic of the system: the events', and each stage's retries, dead letters, changelogs.

    The partition of a dead letter means nothing, so those alone are not keyed.
    """
    keyed: list[Declared] = [
        *EVENT_TOPICS,
        *(stage.retry for stage in TOPOLOGY),
        *(changelog for stage in TOPOLOGY for changelog in stage.changelogs),
    ]
    return (
        *(spec_of(topic, brokers) for topic in keyed),
        *(spec_of(stage.dead_letters, brokers, keyed=False) for stage in TOPOLOGY),
    )


def plan_all(settings: Settings, *, allow_repartition: bool = False) -> Plan:
    """What differs now. Raises StoreAway, Transient."""
    admin = KafkaAdmin(settings.address("kafka"))
    wanted = declared(admin.brokers())
    return plan(wanted, admin.topics(), allow_repartition=allow_repartition)


def apply_all(settings: Settings, *, allow_repartition: bool = False) -> Plan:
    """Create and change what differs; what was done. A second call finds nothing to do.

    Raises StoreAway, Transient.
    """
    todo = plan_all(settings, allow_repartition=allow_repartition)
    admin = KafkaAdmin(settings.address("kafka"))
    admin.create(todo.create)
    admin.change(todo.change)
    return todo


@click.group()
def command() -> None:
    """Declared topics against the cluster's."""


_repartition = click.option(
    "--allow-repartition", is_flag=True, help="Let a keyed topic grow: its keys move."
)


@command.command("plan")
@_repartition
@json_option
def plan_command(allow_repartition: bool, as_json: bool) -> int:
    """Show what apply would do; exit 1 when anything differs."""
    found = plan_all(settings_tree.load(), allow_repartition=allow_repartition)
    _show_plan(found, as_json)
    return 1 if found else 0


@command.command("apply")
@_repartition
@json_option
def apply_command(allow_repartition: bool, as_json: bool) -> int:
    """Create and change topics; exit 1 when something was refused."""
    done = apply_all(settings_tree.load(), allow_repartition=allow_repartition)
    _show_plan(done, as_json)
    return 1 if done.refuse else 0


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """Every declared topic: partitions, retention, whether it is there."""
    admin = KafkaAdmin(settings_tree.load().address("kafka"))
    specs, actual = declared(admin.brokers()), admin.partitions()
    rows = [
        {
            "topic": spec.name,
            "partitions": spec.partitions,
            "exists": spec.name in actual,
            "cleanup": spec.configs["cleanup.policy"],
            "retention_ms": int(spec.configs.get("retention.ms", 0)) or None,
        }
        for spec in specs
    ]
    show({"topics": rows}, as_json, "topics")


def _show_plan(found: Plan, as_json: bool) -> None:
    document: dict[str, Any] = {
        "create": [dataclasses.asdict(spec) for spec in found.create],
        "change": [dataclasses.asdict(change) for change in found.change],
        "refuse": [dataclasses.asdict(refusal) for refusal in found.refuse],
        "drift": [dataclasses.asdict(drift) for drift in found.drift],
    }
    show(document, as_json, *document)
