"""Every page in a real Chromium: WCAG 2.2 AA by axe-core, light and dark, desk and phone; the keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pictures import SCREENS, show, sign_in
from tests.services.gateway.pages.conftest import TOKEN, Town
from tests.support.chromium import chromium, needs_chromium

pytestmark = pytest.mark.timeout(600)  # a whole Orchard starts first

ROOT = Path(__file__).parents[4]
AXE = ROOT / ".cache" / "clients" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
FITS = "document.documentElement.scrollWidth <= window.innerWidth"
RUN = """
axe.run(document, {runOnly: %r}).then((found) => found.violations.map(
  (each) => each.id + ': ' + each.nodes.map((node) => node.html.slice(0, 160)).join(' | ')))
"""

needs_axe = pytest.mark.skipif(not AXE.exists(), reason="no axe-core here: make client-tools (it needs npm)")


@needs_chromium
@needs_axe
@pytest.mark.slow
async def test_pages__in_chromium__have_no_violation_fit_and_complain_of_nothing(
    town: Town, tmp_path: Path
) -> None:
    axe = AXE.read_text()
    found = []
    async with chromium(tmp_path) as page:
        await sign_in(page, town.open, TOKEN)
        pages = {name: f"ui/{address}" for name, address in town.addresses.items()}
        for name, address in {**pages, "front": "", "api": "api/v1/openapi"}.items():
            for screen, (width, height, dark) in SCREENS.items():
                await page.resize(width, height, dark=dark)
                await show(page, f"{town.open}/{address}")
                if not await page.evaluate(FITS):
                    found.append(f"{name}, {screen}: scrolls sideways")
                await page.evaluate(axe + ";1")
                found += [f"{name}, {screen}: {each}" for each in await page.evaluate(RUN % RULES)]
        refused = [each for each in page.complaints if "404" not in each]  # two of the pages are not found
    assert (found, refused) == ([], [])


@needs_chromium
async def test_page__by_the_keyboard__first_skips_to_the_content_then_reaches_the_search(
    town: Town, tmp_path: Path
) -> None:
    async def tab() -> str:
        for kind in ("keyDown", "keyUp"):
            await page.call(
                "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
            )
        return str(await page.evaluate("document.activeElement.outerHTML.slice(0, 80)"))

    async with chromium(tmp_path) as page:
        await show(page, f"{town.open}/ui/packages/pypi/flask")
        reached = [await tab() for _ in range(4)]
        assert "Skip to the content" in reached[0]
        assert 'type="search"' in reached[2]
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@needs_chromium
async def test_page__where_there_is_script__copies_lines(town: Town, tmp_path: Path) -> None:
    async with chromium(tmp_path) as page:
        await page.call(
            "Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
        )
        await show(page, f"{town.open}/ui/setup?client=uv")
        lines = await page.evaluate("document.querySelector('.copied pre').textContent")
        await page.evaluate("document.querySelector('.copied button').click()")
        await page.until(
            "['Copied', 'Selected'].includes(document.querySelector('.copied button').textContent)"
        )
        assert "default = true" in lines and town.open in lines
