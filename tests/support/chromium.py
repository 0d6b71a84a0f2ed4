"""A real Chromium for tests, spoken to over its DevTools protocol: pages, scripts, screenshots."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(BINARY is None, reason="no Chromium here: apt-get install chromium")


class Page:
    """One tab. `complaints` holds what a person would find in the console: errors, refused loads."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self.complaints: list[str] = []

    async def read(self) -> None:
        """Take messages until the connection ends."""
        async for message in self._socket:
            value = message.json()
            if "id" in value:
                self._replies.pop(value["id"]).set_result(value)
            elif value["method"] == "Log.entryAdded" and value["params"]["entry"]["level"] == "error":
                self.complaints.append(str(value["params"]["entry"]["text"]))
            elif value["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(value["params"]["exceptionDetails"]))

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol."""
        number = next(self._numbers)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(30):
            value = await reply
        assert "error" not in value, value
        return dict(value["result"])

    async def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """A screen of that size, in pixels; under 500 wide it is a phone's."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str, *, seconds: float = 20.0) -> None:
        """Return when the expression is true; fail naming it otherwise."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await self.evaluate(expression):
            assert asyncio.get_running_loop().time() < deadline, f"not true within {seconds} s: {expression}"
            await asyncio.sleep(0.1)

    async def screenshot(self, path: Path) -> Path:
        """The whole page, also what lies below the fold."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path


@contextlib.asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Page]:
    """A headless Chromium with one empty page; it ends with the block."""
    assert BINARY is not None
    process = await asyncio.create_subprocess_exec(
        BINARY,
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--no-proxy-server",
        "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = await _port(folder / "profile" / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                target = next(each for each in await answer.json() if each["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                reading = asyncio.create_task(page.read())
                for domain in ("Page", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                yield page
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _port(path: Path) -> int:
    deadline = asyncio.get_running_loop().time() + 40
    while not path.exists() or not path.read_text().strip():
        assert asyncio.get_running_loop().time() < deadline, "Chromium did not start"
        await asyncio.sleep(0.1)
    return int(path.read_text().split()[0])
