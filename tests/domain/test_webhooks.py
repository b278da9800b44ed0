"""Where webhooks may go, how they are signed, when they rest."""

import json

import pytest

from domain.settings import SettingsError, Webhooks, load
from domain.webhooks import GONE_REASON, Webhook, payload, signed, signing_key, target
from schemas.events import PhotoRejected, PostPublished, VariantRef
from tests.fresh import fresh_id

POLICY = Webhooks()
HOOK = Webhook("u_a", "https://hooks.example.org/", "s" * 16, 1)


@pytest.mark.parametrize(
    ("url", "spelt"),
    [
        ("https://hooks.example.org", "https://hooks.example.org/"),
        ("HTTPS://Hooks.Example.ORG:443/a?b=c", "https://hooks.example.org/a?b=c"),
        ("https://hooks.example.org:8443/%7B", "https://hooks.example.org:8443/%7B"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443/"),
    ],
)
def test_a_public_https_url_has_one_spelling(url: str, spelt: str) -> None:
    assert target(url).url == spelt
    assert target(spelt).url == spelt


@pytest.mark.parametrize(
    "url",
    [
        *("", "hooks.example.org", "//hooks.example.org", "https://", "https:///a", "https://:443"),
        *("http://hooks.example.org/", "ftp://hooks.example.org/", "file:///etc/passwd"),
        *("https://user@hooks.example.org/", "https://a:b@hooks.example.org/"),
        *("https://8.8.8.8@127.0.0.1/", "https://hooks.example.org\\@127.0.0.1/"),
        *(
            "https://hooks.example.org/#a",
            "https://hooks.example.org/ ",
            "https://hooks.example.org/\n",
        ),
        *(
            "https://b\u00fccher.example/",
            "https://hooks.example.org:22/",
            "https://hooks.example.org:0/",
        ),
        *("https://hooks.example.org:65536/", "https://hooks.example.org:x/"),
        *(
            "https://localhost/",
            "https://a.localhost/",
            "https://printer.local/",
            "https://intranet/",
        ),
        *("https://metadata.google.internal/", "https://hooks.example.org./"),
        *("https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/"),
        *("https://0177.0.0.1/", "https://0x7f.0x0.0x0.0x1/", "https://127.0.0.0x1/"),
        *("https://10.0.0.1/", "https://169.254.169.254/", "https://100.64.0.1/", "https://0/"),
        *(
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
        ),
        *("https://[64:ff9b::7f00:1]/", "https://[fe80::1%25eth0]/", "https://[fd00::1]/"),
        *("https://[::1", "https://hooks_.example.org/", "https://" + "a" * 64 + ".example/"),
        "https://hooks.example.org/" + "a" * 2048,
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any words will do
        target(url)


def test_a_test_may_call_its_own_machine_but_nothing_else_that_is_near() -> None:
    for url in ("http://127.0.0.1:8000/", "http://localhost:1/", "https://[::1]/"):
        assert target(url, loopback=True).url == url
    for url in (
        "http://10.0.0.1/",
        "http://169.254.169.254/",
        "ftp://127.0.0.1/",
        "http://a.example/",
    ):
        with pytest.raises(ValueError, match="must be"):
            target(url, loopback=True)


def test_signatures_are_those_of_standard_webhooks() -> None:
    headers = signed(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


@pytest.mark.parametrize(
    "secret",
    ["", "s" * 15, "s" * 257, "with a space in it", "whsec_MfKQ9r8GKYqr", "whsec_" + "?" * 20],
)
def test_a_weak_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match=r"16|base64"):
        signing_key(secret)


def test_a_plain_secret_is_its_own_key_and_never_shown() -> None:
    assert signing_key("correct-horse-battery") == b"correct-horse-battery"
    assert HOOK.secret not in repr(HOOK)


def test_a_body_tells_what_happened_and_repeats() -> None:
    photo_id = fresh_id("ph_")
    published = PostPublished(
        event_id=fresh_id(),
        occurred_at=1,
        version=1,
        post_id=photo_id,
        user_id="u_a",
        published_at=1_000,
        caption="",
        tags=(),
        alt_text="",
        width=1,
        height=1,
        placeholder="",
        variants=(VariantRef("feed", "ab", 1, 1, 1),),
    )
    assert json.loads(payload(published, "https://edge.example")) == {
        "event_id": published.event_id,
        "type": "photo.published",
        "photo_id": photo_id,
        "at": "1970-01-01T00:00:01.000Z",
        "urls": {"feed": f"https://edge.example/pub/{photo_id}/ab/feed.jpg"},
    }
    assert payload(published, "") == payload(published, "")
    rejected = PhotoRejected(
        event_id=fresh_id(),
        occurred_at=2_000,
        version=1,
        photo_id=photo_id,
        user_id="u_a",
        reason="truncated",
        detail="not for outside",
    )
    assert json.loads(payload(rejected, "")) == {
        "event_id": rejected.event_id,
        "type": "photo.rejected",
        "photo_id": photo_id,
        "at": "1970-01-01T00:00:02.000Z",
        "reason": "truncated",
    }


def test_it_rests_after_failures_in_a_row_until_a_success() -> None:
    hook = HOOK
    for n in range(POLICY.rest_after):
        assert not hook.rests(n, POLICY)
        hook = hook.failed("why", n, POLICY.disable_after_s)
    last = hook.failed_at or 0
    assert hook.rests(last, POLICY)
    assert not hook.rests(last + round(POLICY.rest_s * 1000), POLICY)
    assert (hook.succeeded(), hook.disabled_at) == (HOOK, None)


def test_it_is_disabled_when_gone_or_failing_for_a_day() -> None:
    assert HOOK.failed(GONE_REASON, 5, POLICY.disable_after_s).disabled_at == 5
    first = HOOK.failed("why", 5, POLICY.disable_after_s)
    late = 5 + round(POLICY.disable_after_s * 1000)
    assert first.failed("why", late - 1, POLICY.disable_after_s).disabled_at is None
    assert first.failed("why", late, POLICY.disable_after_s).disabled_at == late


def test_events_are_given_up_before_the_retries_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOFEED_WEBHOOKS__GIVE_UP_S", "961")
    with pytest.raises(SettingsError, match="give_up_s"):
        load()
