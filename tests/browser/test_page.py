"""The page in a real browser: sign in, pictures, likes, scrolling, signing out."""

import io
import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from rich.console import Console
from rich.progress import Progress

from domain.settings import Settings
from ops import demo
from ops.demo.plan import write_script
from ops.demo.run import Show

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser(people: list[dict[str, str]]) -> Iterator[Browser]:  # noqa: ARG001 - the demo before Playwright's loop
    program = shutil.which("chromium")
    assert program, "the browser test needs Debian's package chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def people(settings: Settings) -> list[dict[str, str]]:
    quiet = Progress(console=Console(file=io.StringIO()))
    report = demo.run(settings, Show(write_script(26, 21), [], quiet, 90.0), 21)
    assert report["ok"], report
    found: list[dict[str, str]] = json.loads((settings.run_dir / "demo-people.json").read_text())
    return found


@pytest.fixture
def page(browser: Browser, settings: Settings) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 900, "height": 1100})
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(f"{settings.url('api')}/app/")
    yield opened
    context.close()
    assert not faults, faults


def sign_in(page: Page, person: dict[str, str]) -> None:
    page.get_by_label("Name").fill(person["username"])
    page.get_by_label("Password").fill(person["password"])
    page.get_by_role("button", name="Sign in").click()


def test_a_wrong_password_says_so(page: Page, people: list[dict[str, str]]) -> None:
    sign_in(page, {**people[1], "password": "not the password"})
    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.locator("article")).to_have_count(0)


def test_a_feed_shows_pictures_and_takes_a_like(page: Page, people: list[dict[str, str]]) -> None:
    sign_in(page, people[1])
    first = page.locator("article").first
    expect(first).to_be_visible()
    image = first.locator("img")
    expect(image).to_have_attribute("alt", re.compile("."))
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    like = first.locator("button.like")
    before, pressed = int(like.locator(".likes").inner_text()), like.get_attribute("aria-pressed")
    like.click()
    expect(like).to_have_attribute("aria-pressed", "false" if pressed == "true" else "true")
    expect(like.locator(".likes")).to_have_text(str(before + (-1 if pressed == "true" else 1)))


def test_scrolling_ends_with_every_post_once(page: Page, people: list[dict[str, str]]) -> None:
    sign_in(page, people[1])
    for _ in range(20):
        page.mouse.wheel(0, 4000)
        page.wait_for_timeout(150)
        if "everything" in page.locator("#note").inner_text():
            break
    expect(page.locator("#note")).to_contain_text("seen everything")
    sources: list[Any] = page.eval_on_selector_all("article img", "all => all.map(i => i.src)")
    assert len(sources) == len(set(sources)) > 0


def test_signing_out_forgets_the_feed(page: Page, people: list[dict[str, str]]) -> None:
    sign_in(page, people[1])
    expect(page.locator("article").first).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("article")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Password")).to_be_visible()
