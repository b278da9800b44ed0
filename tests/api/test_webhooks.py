"""The viewer's webhook: set, seen without its secret, taken away."""

import pytest

from stores.connect import Stores
from tests.api.world import World, is_problem

PATH = "/users/me/webhook"
BODY = {"url": "https://Hooks.Example.org/photofeed?a=b", "secret": "correct-horse-battery"}


async def test_it_is_set_seen_and_taken_away_by_its_owner_alone(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    is_problem(await world.call("GET", PATH, ann), 404, "not-found")
    put = await world.call("PUT", PATH, ann, json=BODY)
    assert put.status_code == 200
    shown = put.json()
    assert shown.pop("set_at").endswith("Z")
    assert shown == {
        "url": "https://hooks.example.org/photofeed?a=b",
        "failing": None,
        "disabled_at": None,
    }
    assert (await world.call("GET", PATH, ann)).json() == put.json()
    is_problem(await world.call("GET", PATH, bob), 404, "not-found")
    assert (await world.call("DELETE", PATH, bob)).status_code == 204
    assert (await world.call("GET", PATH, ann)).status_code == 200
    assert (await world.call("DELETE", PATH, ann)).status_code == 204
    is_problem(await world.call("GET", PATH, ann), 404, "not-found")
    assert (await world.call("DELETE", PATH, ann)).status_code == 204


async def test_failures_are_shown_and_setting_it_anew_forgets_them(
    world: World, stores: Stores
) -> None:
    ann = await world.someone()
    await world.call("PUT", PATH, ann, json=BODY)
    hook = await stores.webhooks.get(ann.user_id)
    assert hook is not None
    assert hook.secret == BODY["secret"]
    await stores.webhooks.note(hook.failed("why", 1000, 0))
    shown = (await world.call("GET", PATH, ann)).json()
    assert shown["failing"] == {
        "reason": "why",
        "at": "1970-01-01T00:00:01.000Z",
        "since": "1970-01-01T00:00:01.000Z",
        "calls": 1,
    }
    assert shown["disabled_at"] == "1970-01-01T00:00:01.000Z"
    assert (await world.call("PUT", PATH, ann, json=BODY)).json()["disabled_at"] is None
    shown = (await world.call("GET", PATH, ann)).json()
    assert (shown["failing"], shown["disabled_at"]) == (None, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "http://hooks.example.org/"),
        ("url", "https://10.0.0.1/"),
        ("url", "https://2130706433/"),
        ("url", "https://[::ffff:10.0.0.1]/"),
        ("url", "https://intranet/"),
        ("url", "https://a:b@hooks.example.org/"),
        ("url", "x" * 3000),
        ("url", None),
        ("secret", "too short"),
        ("secret", "whsec_!!!!!!!!!!!!!!!!"),
        ("secret", 5),
    ],
)
async def test_what_could_not_be_called_or_signed_is_refused_without_repeating_it(
    world: World, field: str, value: object
) -> None:
    ann = await world.someone()
    answer = await world.call("PUT", PATH, ann, json={**BODY, field: value})
    is_problem(answer, 422, "validation")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert BODY["secret"] not in answer.text
    assert str(value) not in answer.text
