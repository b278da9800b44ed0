"""`docs/asyncapi.json`: the event topics as an AsyncAPI 3.0 document, drawn from the catalogue.

`python -m ops.event_docs` writes it; `make docs` does so. Payloads are the committed Avro schemas.
"""

import json
from typing import Any

from domain.settings import ROOT
from schemas.registry import committed
from topics.catalog import EVENT_TOPICS
from topics.topic import Topic

PATH = ROOT / "docs" / "asyncapi.json"
_AVRO = "application/vnd.apache.avro+json;version=1.9.0"
_HOUR_MS = 3_600_000


def document() -> dict[str, Any]:
    """The whole document: a channel and a message for every event topic."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "photofeed events",
            "version": "1",
            "description": "Avro in the Confluent wire format. Every record carries the W3C "
            "`traceparent` as a header. Only a newer `version` of an entity is applied.",
        },
        "defaultContentType": "application/vnd.apache.avro",
        "channels": {topic.name: _channel(topic) for topic in EVENT_TOPICS},
        "components": {
            "messages": {topic.event.__name__: _message(topic) for topic in EVENT_TOPICS}
        },
    }


def render() -> str:
    """The document as it stands in the file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _channel(topic: Topic[Any]) -> dict[str, Any]:
    name = topic.event.__name__
    return {
        "address": topic.name,
        "description": f"Keyed by `{topic.key}`.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {"retention.ms": topic.retention_hours * _HOUR_MS},
            }
        },
    }


def _message(topic: Topic[Any]) -> dict[str, Any]:
    schema = committed().latest(topic.subject).schema
    return {
        "summary": schema.get("doc", ""),
        "payload": {"schemaFormat": _AVRO, "schema": schema},
        "bindings": {"kafka": {"key": {"type": "string"}}},
    }


if __name__ == "__main__":
    PATH.write_text(render())
