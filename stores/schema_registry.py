"""A Confluent-compatible schema registry (its REST API), kept equal to the committed one.

The bytes on the topics carry the committed ids, so the registry must give exactly those. Entries
are offered in the order of their ids: a registry of our own, empty at first, numbers them alike;
one that others fill too doesn't and is refused. Calls are blocking: for operators' commands and
the bring-up.
"""

import json
from typing import Any

import httpx

from domain.errors import StoreAway, Transient
from schemas.registry import AvroSchema, Registered, Registry

LIMIT_S = 10.0
COMPATIBILITY = "BACKWARD_TRANSITIVE"
_MEDIA = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
_NOT_FOUND = 404
_OK = 200


class SchemaRegistry:
    """One registry by its base URL.

    Every call raises StoreAway when it doesn't answer and Transient when it refuses.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def register(self, subject: str, schema: AvroSchema) -> int:
        """The id of `schema` under `subject`, given anew or long known."""
        given = self._ask("POST", f"/subjects/{subject}/versions", _body(schema))
        if given is None:
            raise Transient(f"there is no schema registry at {self._url}")
        return int(given["id"])

    def find(self, subject: str, schema: AvroSchema) -> int | None:
        """The id `schema` has under `subject`, None when the registry doesn't know it."""
        found = self._ask("POST", f"/subjects/{subject}", _body(schema))
        return None if found is None else int(found["id"])

    def disagreements(self, committed: Registry) -> list[str]:
        """One line for each committed version that the registry lacks or numbers differently."""
        return [
            f"{_name(entry)}: id {entry.id} here, {found or 'unknown'} at {self._url}"
            for entry in committed.entries
            if (found := self.find(entry.subject, entry.schema)) != entry.id
        ]

    def fill(self, committed: Registry) -> None:
        """Register what is missing, and hold other writers to our compatibility.

        Raises Transient when an id comes out differently: such a registry can't be used.
        """
        for entry in sorted(committed.entries, key=lambda entry: entry.id):
            given = self.register(entry.subject, entry.schema)
            if given != entry.id:
                raise Transient(f"{_name(entry)}: id {entry.id} here, {given} at {self._url}")
        for subject in {entry.subject for entry in committed.entries}:
            self._ask("PUT", f"/config/{subject}", {"compatibility": COMPATIBILITY})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        try:
            answer = httpx.request(
                method, self._url + path, json=body, headers=_MEDIA, timeout=LIMIT_S
            )
        except httpx.HTTPError as error:
            raise StoreAway(f"schema registry doesn't answer at {self._url}: {error}") from error
        if answer.status_code == _NOT_FOUND:
            return None
        if answer.status_code != _OK:
            raise Transient(f"schema registry: {method} {path}: {_reason(answer)}")
        return answer.json()


def _body(schema: AvroSchema) -> dict[str, Any]:
    return {"schema": json.dumps(schema), "schemaType": "AVRO"}


def _name(entry: Registered) -> str:
    return f"{entry.subject} version {entry.version}"


def _reason(answer: httpx.Response) -> str:
    try:
        return f"{answer.status_code} {answer.json()['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason_phrase}"
