"""The console in a real browser, over real engines, a real detector and a real policy: live, by keyboard, on a phone, without a complaint."""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ringfence.base.clock import system_clock
from tests.harness import saturday
from tests.harness.product import Product, Wire

sync_api = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.peer("chromium"), pytest.mark.timeout(240)]

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PAGES: tuple[str, ...] = (
    "/",
    "/alerts",
    "/alerts?state=all",
    "/blocks",
    "/blocks?state=all",
    "/blocks/new",
    "/proposals",
    "/exemptions",
    "/edges",
)
PAGES += ("/rules", "/rules/new", "/rules/thresholds?rule=D02")
PAGES += ("/attacks", "/attacks?state=all", "/destinations/23276", "/sources/198.51.100.23", "/sources/198.51.100.0/24?days=7")
PAGES += ("/query", "/query?callee=23276", "/query?callee=23276&group=hour")
PAGES += (
    "/fleet",
    "/fleet/coverage",
    "/fleet/stock",
    "/fleet/replacements",
    "/fleet/drift",
    "/fleet/groups",
    "/search",
    "/search?text=K-020417",
)
PAGES += ("/accounts", "/accounts?text=K-020417", f"/accounts/{saturday.STOLEN}", "/calls", "/devices", "/audit", "/me", "/more")


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    with Product("worker", "policy", "detector", "console") as running:
        asyncio.run(saturday.night(running))
        yield running


@pytest.fixture(scope="module")
def alone() -> Iterator[Product]:
    """A console by itself, for the test that takes its bus away: a worker without a bus for too long would end."""
    with Product("console") as running:
        asyncio.run(saturday.people(running.database_url))
        yield running


@pytest.fixture(scope="module")
def browser(product: Product, alone: Product) -> Iterator[object]:
    """Chromium, after the products: Playwright keeps this thread's event loop for itself."""
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(SWITCHES))
        yield chromium
        chromium.close()


class Visitor:
    """A person at a browser; whatever the browser complains about is kept."""

    def __init__(self, browser: object, product: Product, *, width: int = 1440, height: int = 900, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[attr-defined]
        self.context.set_default_timeout(30_000)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on(
            "console", lambda said: self.complaints.append(f"{said.type}: {said.text}") if said.type in {"error", "warning"} else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.base = product.console_url

    def go(self, path: str) -> int:
        answer = self.page.goto(self.base + path)
        return int(answer.status)

    def sign_in(self, name: str) -> None:
        self.go("/login")
        self.page.fill("#name", name)
        self.page.fill("#password", saturday.PASSWORD)
        self.page.press("#password", "Enter")
        self.page.wait_for_url(lambda url: "/login" not in url)

    def close(self) -> None:
        self.context.close()
        assert self.complaints == []


@pytest.fixture
def anna(browser: object, product: Product) -> Iterator[Visitor]:
    visitor = Visitor(browser, product)
    visitor.sign_in("anna")
    yield visitor
    visitor.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1200, "light"), (1440, "light"), (1440, "dark")])
def test_no_page_overflows_or_complains(browser: object, product: Product, width: int, scheme: str) -> None:
    visitor = Visitor(browser, product, width=width, height=844, scheme=scheme)
    visitor.sign_in("anna")
    visitor.go("/alerts")
    alert = visitor.page.get_attribute(f"a.open:has-text('{saturday.STOLEN}')", "href")
    for path in (*PAGES, alert):
        assert visitor.go(path) == 200, path
        over = visitor.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{path} is {over} pixels too wide at {width}"
        assert visitor.page.evaluate(STICKING_OUT) == [], f"{path} at {width}"
        assert visitor.page.evaluate("document.querySelectorAll('h1').length") == 1, path
        unnamed = visitor.page.evaluate(
            "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')].filter(f => !f.labels.length && !f.ariaHidden).length"
        )
        assert unnamed == 0, f"{path} has a field without a label"
    visitor.close()


def test_text_has_contrast_in_both_themes(browser: object, product: Product) -> None:
    """WCAG AA: 4.5 to 1 for every piece of text, measured on the computed colours."""
    for scheme in ("light", "dark"):
        visitor = Visitor(browser, product, scheme=scheme)
        visitor.sign_in("anna")
        for path in ("/", "/alerts", "/blocks", "/edges", "/blocks/new", f"/accounts/{saturday.STOLEN}"):
            visitor.go(path)
            assert visitor.page.evaluate(CONTRAST) == [], f"{path} {scheme}"
        visitor.close()


def test_an_alert_appears_by_itself_and_is_blocked_and_released(anna: Visitor, product: Product) -> None:
    late = f"4930901{system_clock() % 10**5:05d}"  # Another one at a second try, which would find the first one's alerts.
    anna.go("/alerts")
    anna.page.wait_for_selector("#pulse[data-state=live]")
    assert anna.page.locator(f"a.open:has-text('{late}')").count() == 0
    with ThreadPoolExecutor(1) as aside:
        aside.submit(asyncio.run, _late_fraud(product, late)).result()
    anna.page.wait_for_selector(f"a.open:has-text('{late}')")

    anna.page.click(f"a.open:has-text('{late}')")
    anna.page.wait_for_selector("#act >> text=Blocked")
    assert anna.page.locator(".timeline .talk").count() > 3
    anna.page.locator("#act button:has-text('Acknowledge')").click()
    anna.page.wait_for_selector("text=Nobody else is paged")
    while anna.page.locator("#act button:has-text('Release')").count():
        anna.page.locator("#act button:has-text('Release')").first.click()
        anna.page.wait_for_selector("text=The block is lifted")
    anna.page.locator("#act button:has-text('Block')").click()
    anna.page.wait_for_selector("text=The block is in force")
    anna.go("/blocks?text=" + late)
    anna.page.wait_for_selector(f"text=calls to C3 and above from {late}")


def test_an_attack_grows_on_its_page_without_a_reload(anna: Visitor, product: Product) -> None:
    hit = [f"4930{system_clock() % 10**8:08d}{number}" for number in range(4)]
    with ThreadPoolExecutor(1) as aside:
        aside.submit(asyncio.run, _attack(product, hit[:3])).result()
        anna.go("/attacks")
        anna.page.wait_for_selector("a.open[href^='/attacks/']")
        anna.page.click("a.open[href^='/attacks/']")
        anna.page.wait_for_selector("#pulse[data-state=live]")
        anna.page.wait_for_selector(f"#accounts a:has-text('{hit[2]}')")
        assert anna.page.locator(f"#accounts a:has-text('{hit[3]}')").count() == 0
        aside.submit(asyncio.run, _attack(product, hit[3:])).result()
    anna.page.wait_for_selector(f"#accounts a:has-text('{hit[3]}')")
    anna.page.wait_for_selector("#why a[href='#accounts-title']:text-is('4')")
    assert anna.page.locator("#its-alerts [data-key]").count() >= 4
    anna.page.wait_for_selector("#act >> text=Blocked")


def test_blocking_by_hand_with_a_dry_run(anna: Visitor) -> None:
    anna.go("/blocks/new")
    anna.page.select_option("#scope", "range")
    anna.page.fill("#value", "+8821")
    anna.page.wait_for_selector("#verdict .verdict")
    assert re.search(r"refused [1-9]\d* calls of 1 account in the last 24 h", anna.page.inner_text("#verdict"))
    anna.page.fill("#reason", "satellite numbers, seen tonight")
    anna.page.click("button:text-is('Block')")
    anna.page.wait_for_selector("text=The block is in force")
    anna.page.click("a.open:has-text('+8821'):not(:has-text('+88214'))")
    anna.page.click("button:has-text('a false alarm')")
    anna.page.click("button:has-text('Lift the block')")
    anna.page.wait_for_selector("text=The block is lifted")


def test_a_mistake_comes_back_with_the_form(anna: Visitor) -> None:
    anna.go("/blocks/new")
    anna.page.select_option("#scope", "number")
    anna.page.fill("#value", "0049 30 12")
    anna.page.wait_for_selector("#verdict >> text=is not a number in E.164 form")
    anna.page.fill("#reason", "because")
    anna.page.click("button:text-is('Block')")
    anna.page.wait_for_selector("[role=alert]")
    assert anna.page.input_value("#value") == "0049 30 12"
    anna.complaints.clear()  # The browser itself reports the 422.


def go_by_keys(page: Any, *keys: str, to: str) -> None:
    """Press keys that belong together. They count only when they come soon after each other, which a busy machine may not manage."""
    for _ in range(4):
        for key in keys:
            page.keyboard.press(key)
        with contextlib.suppress(sync_api.TimeoutError):
            page.wait_for_url(to, timeout=5_000)
            return
    raise AssertionError(f"{' '.join(keys)} does not lead to {to}")


def test_the_keyboard_is_enough(anna: Visitor) -> None:
    page = anna.page
    anna.go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    go_by_keys(page, "g", "a", to="**/alerts")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.className") == "open"
    first = page.evaluate("document.activeElement.id")
    page.keyboard.press("j")
    second = page.evaluate("document.activeElement.id")
    assert first != second
    page.wait_for_timeout(2500)  # Frames go by; the focus stays where it is.
    assert page.evaluate("document.activeElement.id") == second
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/alerts/a-*")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="hidden")
    go_by_keys(page, "g", "f", to="**/fleet")
    page.keyboard.press("s")
    assert page.evaluate("document.activeElement.id") == "seek"
    page.keyboard.type("K-020417")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?text=K-020417")
    page.locator("main h1").click()  # The field has the focus: keys are letters there.
    go_by_keys(page, "g", "b", to="**/blocks")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "text"


def test_the_theme_stays(anna: Visitor) -> None:
    anna.go("/")
    anna.page.click("[data-theme-toggle]")
    assert anna.page.get_attribute("html", "data-theme") == "dark"
    anna.go("/alerts")
    assert anna.page.get_attribute("html", "data-theme") == "dark"


def test_a_hostile_name_is_only_a_name(anna: Visitor) -> None:
    anna.go("/alerts?state=all")
    assert anna.page.locator(f"a.open:text-is('{saturday.HOSTILE}')").count() >= 1
    anna.go("/calls?hours=24")
    assert "onerror" in anna.page.inner_text("main")
    assert anna.page.locator("main img").count() == 0


def test_a_dead_bus_is_said(browser: object, alone: Product) -> None:
    """The figures stay, and the page says since when they are old."""
    visitor = Visitor(browser, alone)
    visitor.sign_in("anna")
    visitor.go("/")
    visitor.page.wait_for_selector("#pulse[data-state=live]")
    alone.nats.kill()
    try:
        visitor.page.wait_for_selector("#pulse[data-state=stale]")
        assert "stale since" in visitor.page.inner_text("#pulse")
    finally:
        alone.nats.start()
    visitor.page.wait_for_selector("#pulse[data-state=live]", timeout=30_000)
    visitor.close()


async def _late_fraud(product: Product, account: str) -> None:
    wire, bus = await Wire.connect(product), await product.nats.connect()
    try:
        now = system_clock()
        await wire.send(saturday.fraud(wire, account, now, calls=9, minutes=3, number="+22507"))
        await saturday.beats(bus, wire, 3)
    finally:
        await wire.close()
        await bus.close()


async def _attack(product: Product, accounts: list[str]) -> None:
    """Fraud of some accounts into one range."""
    wire, bus = await Wire.connect(product), await product.nats.connect()
    try:
        now = system_clock()
        for account in accounts:
            await wire.send(saturday.fraud(wire, account, now, calls=9, minutes=3, number="+2290145"))
        await saturday.beats(bus, wire, 3)
    finally:
        await wire.close()
        await bus.close()


STICKING_OUT = """
[...document.querySelectorAll('.card')].flatMap((card) => [...card.querySelectorAll('table.rows')].filter(
  (table) => table.checkVisibility() && table.getBoundingClientRect().right > card.getBoundingClientRect().right + 1
).map((table) => (card.querySelector('h2') || card).textContent.trim().slice(0, 40)))
"""
"""Cards whose table is wider than they are."""

CONTRAST = """
(() => {
  const channel = (value) => { value /= 255; return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const read = (text) => (text.match(/[0-9.]+/g) || [0, 0, 0, 0]).map(Number);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = read(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || element.closest("svg, .unseen, .skip, option, dialog:not([open])")) continue;
    const [a, b] = [light(read(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push(`${element.className || element.tagName}: ${walker.currentNode.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return [...new Set(bad)];
})()
"""
