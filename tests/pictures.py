"""Pictures of every page: `python -m tests.pictures FOLDER` (light, dark, and of a phone; needs Chromium).

The folder is not to be committed. Pages are shown as an operator sees them.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.support.chromium import BINARY, Page, chromium
from tests.support.orchard import Cluster, cluster
from tests.support.page_list import addresses
from tests.support.town import SETTINGS, build
from tests.support.upstream import Upstream

TOKEN = "operators-token-of-pictures"
SCREENS = {
    "light": (1280, 900, False),
    "dark": (1280, 900, True),
    "phone": (390, 844, False),
    "phone-dark": (390, 844, True),
}


async def sign_in(page: Page, base: str, token: str) -> None:
    """By the form, as a person does."""
    await page.call("Page.navigate", url=f"{base}/ui/signin")
    await page.until("document.querySelector('input[name=token]') !== null")
    await page.evaluate(f"document.querySelector('input[name=token]').value = {token!r}")
    await page.evaluate("document.querySelector('main form').requestSubmit()")
    await page.until("location.pathname === '/ui/' && document.readyState === 'complete'")


async def show(page: Page, address: str) -> None:
    """Go there and wait until it is whole."""
    await page.call("Page.navigate", url=address)
    await page.until(f"location.href === {address!r} && document.readyState === 'complete'")


async def _take(orchard: Cluster, built: dict[str, str], folder: Path, work: Path, only: str) -> None:
    base = orchard.gateway.base
    async with chromium(work) as page:
        await sign_in(page, base, TOKEN)
        for name, address in addresses(**built).items():
            if only not in name:
                continue
            for screen, (width, height, dark) in SCREENS.items():
                await page.resize(width, height, dark=dark)
                await show(page, f"{base}/ui/{address}")
                await page.screenshot(folder / f"{name}-{screen}.png")
            print(name, flush=True)
        print("\n".join(page.complaints))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="pages whose name holds this")
    options = parser.parse_args()
    if BINARY is None:
        raise SystemExit("no Chromium here: apt-get install chromium")
    options.folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as work,
        Upstream() as upstream,
        cluster(Path(work), upstream, ORCHARD_ADMIN_TOKEN=TOKEN, **SETTINGS) as orchard,
    ):
        town = build(orchard, upstream, TOKEN)
        asyncio.run(_take(orchard, town, options.folder, Path(work), options.only))


if __name__ == "__main__":
    main()
