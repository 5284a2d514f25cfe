"""The report in headless Chromium, opened from its file as a user would."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_ledgers import RUN, film, lively, story
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from avatarkit.bulk.report import write_report

_SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # runs as root in containers, and opens nothing but our own page
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
)
_LOADED = """
const done = arguments[0], players = [...document.querySelectorAll("video, audio")].slice(0, 8);
const states = () => players.map((player) => [player.readyState, player.error ? player.error.code : 0]);
const ended = () => players.every((player) => player.readyState >= 1 || player.error);
const look = () => ended() ? done(states()) : setTimeout(look, 20);
players.forEach((player) => player.load());
look();
"""
_SHOWN = """
return [...document.querySelectorAll(".gallery > li")].filter((card) => card.checkVisibility())
  .map((card) => card.textContent);
"""
_OVERFLOWING = """
const wide = document.documentElement.clientWidth;
return [...document.querySelectorAll("body *")].filter((node) => {
  const box = node.getBoundingClientRect();
  return box.width && !node.closest(".skip, thead, .scroll, svg") && (box.right > wide + 0.5 || box.left < -0.5);
}).map((node) => node.outerHTML.slice(0, 120));
"""
_CONTRAST = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
const ground = (node) => {
  for (; node; node = node.parentElement) {
    const found = parse(getComputedStyle(node).backgroundColor);
    if (found.length < 4 || found[3] === 1) return found;
  }
  return [255, 255, 255];
};
const bad = [];
for (const node of document.querySelectorAll("main *, header *, footer *")) {
  const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  if (!own || node.closest("svg") || !node.getClientRects().length) continue;
  const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) bad.push([ratio, node.outerHTML.slice(0, 80)]);
}
return bad;
"""


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is missing: apt-get install chromium chromium-driver"
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    """One browser for all tests, with its network log on."""
    options = Options()
    options.binary_location = _program("chromium")
    for switch in _SWITCHES:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Selenium would ask the network for a driver if none were named.
    driver = webdriver.Chrome(options=options, service=Service(_program("chromedriver")))
    driver.set_script_timeout(20)
    try:
        yield driver
    finally:
        driver.quit()
        driver.service.stop()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A linked and an embedding report of one lively run, in a folder whose name is odd."""
    folder = tmp_path_factory.mktemp("a report #1 100%")

    async def write() -> dict[str, Path]:
        films = [
            film(folder / "a.webm"),
            film(folder / "b.webm", size=(320, 180), shade=120),
            film(folder / "c.webm", shade=150),
        ]
        async with story(folder, budget=5000.0, manifest="campaign spring.csv") as made:
            await lively(made, films)
            return {
                "link": await write_report(made.ledger, RUN, folder / "report.html"),
                "embed": await write_report(
                    made.ledger, RUN, folder / "embedded.html", media="embed", most_cards=5
                ),
            }

    return asyncio.run(write())


def _size(driver: webdriver.Chrome, width: int, scheme: str = "light") -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def _opened(driver: webdriver.Chrome, page: Path, width: int = 1400, scheme: str = "light") -> None:
    _size(driver, width, scheme)
    driver.get_log("performance")
    driver.get_log("browser")
    driver.get(page.as_uri())


def _requests(driver: webdriver.Chrome) -> list[str]:
    found = []
    for entry in driver.get_log("performance"):
        message: dict[str, Any] = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
    return found


@pytest.mark.parametrize("media", ["link", "embed"])
def test_the_page_opens_and_its_players_load(
    chromium: webdriver.Chrome, reports: dict[str, Path], media: str
) -> None:
    """From file://, without a word on the console, and without a request that leaves the folder."""
    _opened(chromium, reports[media])
    states = chromium.execute_async_script(_LOADED)
    assert len(states) == (8 if media == "link" else 5)
    assert all(ready >= 1 and error == 0 for ready, error in states), states
    assert chromium.get_log("browser") == []
    folder = reports[media].parent.as_uri()
    asked = _requests(chromium)
    assert asked[0] == reports[media].as_uri()
    assert [url for url in asked if not url.startswith((f"{folder}/", "data:"))] == []


def test_a_player_plays_and_stops_the_others(chromium: webdriver.Chrome, reports: dict[str, Path]) -> None:
    """Time moves on in the one that was started last, and no other goes on."""
    _opened(chromium, reports["link"])
    script = """
    const done = arguments[0], [one, two] = document.querySelectorAll("video");
    one.muted = two.muted = true;
    one.play().then(() => two.play()).then(() => {
      const look = () => two.currentTime > 0 ? done([one.paused, two.paused]) : setTimeout(look, 20);
      look();
    }).catch((error) => done(String(error)));
    """
    assert chromium.execute_async_script(script) == [True, False]


def test_the_filter_finds_by_key_title_text_and_column(
    chromium: webdriver.Chrome, reports: dict[str, Path]
) -> None:
    """Every word has to be there; the count is told, nothing found is said, and Escape shows all again."""
    _opened(chromium, reports["link"])
    field = chromium.find_element(By.ID, "filter")
    status = chromium.find_element(By.ID, "shown")
    assert field.accessible_name.startswith("Filter")

    def shown() -> list[str]:
        found: list[str] = chromium.execute_script(_SHOWN)
        return found

    assert len(shown()) == 115
    field.send_keys("shop-0003")
    (only,) = shown()
    assert "shop-0003" in only
    assert status.text == "1 of 115 shown"
    field.clear()
    field.send_keys("PARCEL lagos")
    found = shown()
    assert found == []
    assert chromium.find_element(By.ID, "none").is_displayed()
    field.clear()
    field.send_keys("parcel hangzhou")
    found = shown()
    assert 10 < len(found) < 30
    assert all("How to return a parcel" in text for text in found)
    field.send_keys(Keys.ESCAPE)
    assert len(shown()) == 115
    assert status.text == ""


def test_charts_tell_their_figures_to_the_keyboard(
    chromium: webdriver.Chrome, reports: dict[str, Path]
) -> None:
    """Each chart can be reached and read with the arrow keys."""
    _opened(chromium, reports["link"])
    figures = chromium.find_elements(By.CSS_SELECTOR, "figure[data-rows]")
    assert len(figures) == 2
    for figure, words in zip(figures, (" running, ", " videos"), strict=True):
        readout = figure.find_element(By.CSS_SELECTOR, ".readout")
        idle = readout.text
        figure.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        assert words in readout.text
        second = readout.text
        figure.send_keys(Keys.ARROW_LEFT)
        assert readout.text != second
        chromium.execute_script("arguments[0].blur()", figure)
        assert readout.text == idle


def test_commands_can_be_copied(chromium: webdriver.Chrome, reports: dict[str, Path]) -> None:
    """The button takes the command over, or selects it where the clipboard is closed."""
    _opened(chromium, reports["link"])
    row = chromium.find_element(By.CSS_SELECTOR, ".commands li")
    button = row.find_element(By.TAG_NAME, "button")
    command = row.find_element(By.TAG_NAME, "code").text
    assert command.startswith("avatarkit bulk adopt '/")
    button.click()
    script = """
    const [button, done] = arguments;
    const look = () => button.textContent !== "Copy" ? done(button.textContent) : setTimeout(look, 10);
    look();
    """
    assert chromium.execute_async_script(script, button) in ("Copied", "Selected")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 820, 1400])
def test_nothing_overflows_and_all_can_be_read(
    chromium: webdriver.Chrome, reports: dict[str, Path], width: int, scheme: str
) -> None:
    """No sideways scrolling, nothing past the edge, and text stands out at 4.5 to 1, light and dark."""
    _opened(chromium, reports["link"], width, scheme)
    chromium.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
    assert chromium.execute_script(_OVERFLOWING) == []
    assert chromium.execute_script(_CONTRAST) == []
    ground = chromium.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(246, 245, 242)" if scheme == "light" else "rgb(21, 24, 27)")


def test_a_page_printed_from_a_dark_screen_is_light(
    chromium: webdriver.Chrome, reports: dict[str, Path]
) -> None:
    """Dark ink on white, without the filter and the buttons."""
    _opened(chromium, reports["link"])
    dark = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    try:
        assert chromium.execute_script(_CONTRAST) == []
        assert chromium.execute_script("return getComputedStyle(document.body).color") == "rgb(29, 33, 38)"
        assert not chromium.find_element(By.ID, "filter").is_displayed()
    finally:
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_the_page_works_without_scripts(chromium: webdriver.Chrome, reports: dict[str, Path]) -> None:
    """Players are there; what would not work is not shown."""
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        _opened(chromium, reports["link"])
        assert len(chromium.find_elements(By.TAG_NAME, "video")) == 115
        assert not chromium.find_element(By.ID, "filter").is_displayed()
        buttons = chromium.find_elements(By.CSS_SELECTOR, "button.copy")
        assert buttons
        assert not any(button.is_displayed() for button in buttons)
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
