"""The scripted upstream over TLS and HTTP/2: the same replies and faults, through h2's own state machine.

What a fault does to a connection of HTTP/1.1, it does to a stream where HTTP/2 has one for it: `cut_at` ends
the connection, with `reset` the stream alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from functools import partial

from h2 import events
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from tests.support.upstream import Request, Upstream


class Http2Upstream(Upstream):
    """As `Upstream`; `context` is a TLS server's. `settings` are told to clients."""

    framed = False

    def __init__(
        self, context: ssl.SSLContext, *, port: int = 0, settings: dict[SettingCodes, int] | None = None
    ) -> None:
        super().__init__(port=port)
        context.set_alpn_protocols(["h2", "http/1.1"])
        self.tls = context
        self.settings = settings or {}
        self.on_request: Callable[[Http2Server, int], bool] = lambda server, stream_id: False
        """Called with each request's stream; True: it has been seen to."""
        self.greeting: bytes | None = None  # sent instead of everything, to whom chose h2
        self.resumed = 0  # connections that resumed a TLS session

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    def twin(self) -> Http2Upstream:
        assert self.tls is not None
        return Http2Upstream(self.tls)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen = writer.get_extra_info("ssl_object")
        self.resumed += chosen.session_reused
        if chosen.selected_alpn_protocol() != "h2":
            self.framed = True
            return await super()._connection(reader, writer)
        if self.greeting is not None:
            writer.write(self.greeting)
            await writer.drain()
            writer.transport.abort()
            return None
        self.connections += 1
        self.open_connections += 1
        self.peak_connections = max(self.peak_connections, self.open_connections)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writer.transport.set_write_buffer_limits(1)  # what was drained has left
        try:
            await Http2Server(self, writer, self.connections).serve(reader)
        except asyncio.CancelledError:
            pass
        finally:
            self.open_connections -= 1
            self._tasks.discard(task)
            writer.transport.abort()  # no goodbye of TLS, which the client's end would have to answer
        return None

    async def answer(self, request: Request, stream: _StreamWriter) -> None:
        """One stream's response."""
        keeps = await self._answer(request, stream)
        if keeps or not stream.cut:
            await stream.end()

    def _cut(self, writer: object, *, reset: bool) -> None:
        assert isinstance(writer, _StreamWriter)
        writer.break_off(reset=reset)


class Http2Server:
    """One connection."""

    def __init__(self, upstream: Http2Upstream, writer: asyncio.StreamWriter, number: int) -> None:
        self._upstream = upstream
        self._number = number
        self.writer = writer
        config = H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = H2Connection(config)
        # hpack's own Huffman coding of a header takes the square of its length
        self.h2.encoder.encode = partial(self.h2.encoder.encode, huffman=False)
        self.room = asyncio.Event()  # a window grew
        self.last = 2**31  # streams after this one it said it does not process
        self._heads: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytearray] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Until the client or a fault ends it."""
        self.h2.initiate_connection()
        self.h2.update_settings(self._upstream.settings)
        self.flush()
        try:
            while data := await reader.read(65536):
                for event in self.h2.receive_data(data):
                    self._take(event)
                self.flush()
        except (ConnectionError, ProtocolError, ssl.SSLError):
            pass
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def flush(self) -> None:
        """Send what h2 has to say."""
        if not self.writer.is_closing():
            self.writer.write(self.h2.data_to_send())

    def _take(self, event: events.Event) -> None:
        match event:
            case events.RequestReceived():
                self._heads[event.stream_id] = dict(event.headers)
                self._bodies[event.stream_id] = bytearray()
                if event.stream_id > self.last or self._upstream.on_request(self, event.stream_id):
                    self._heads.pop(event.stream_id)
            case events.DataReceived():
                self._bodies[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.StreamEnded():
                self._begin(event.stream_id)
            case events.StreamReset():
                if (task := self._tasks.pop(event.stream_id, None)) is not None:
                    task.cancel()
            case events.WindowUpdated() | events.RemoteSettingsChanged():
                self.room.set()

    def _begin(self, stream_id: int) -> None:
        head = self._heads.pop(stream_id, None)
        if head is None:
            return
        headers = {name: value for name, value in head.items() if not name.startswith(":")}
        headers.setdefault("host", head[":authority"])
        body = bytes(self._bodies.pop(stream_id))
        request = Request(head[":method"], head[":path"], headers, time.monotonic(), self._number, body)
        self._upstream.requests.append(request)
        stream = _StreamWriter(self, stream_id)
        self._tasks[stream_id] = asyncio.create_task(self._answer(request, stream))

    async def _answer(self, request: Request, stream: _StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ProtocolError):  # the client gave the stream up
            await self._upstream.answer(request, stream)


class _StreamWriter:
    """Takes what is written as HTTP/1.1, and sends it as a stream's frames."""

    def __init__(self, server: Http2Server, stream_id: int) -> None:
        self._server = server
        self._id = stream_id
        self._text = bytearray()  # the head, as far as it is there
        self._head: list[tuple[bytes, bytes]] | None = None
        self._begun = False
        self._unsent = bytearray()
        self.cut = False

    def write(self, data: bytes) -> None:
        if self._head is not None:
            self._unsent += data
            return
        self._text += data
        head, end, rest = bytes(self._text).partition(b"\r\n\r\n")
        if end:
            first, *lines = head.decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in lines)
            fields = [(name.lower(), value.strip(" ")) for name, _, value in pairs]
            fields = [(name, value) for name, value in fields if name != "transfer-encoding"]
            fields = [(":status", first.split(" ")[1]), *fields]
            self._head = [(name.encode(), value.encode("latin-1")) for name, value in fields]
            self._unsent += rest

    async def drain(self) -> None:
        if self._head is not None and not self._begun:
            self._begun = True
            self._server.h2.send_headers(self._id, self._head)
        while self._unsent:
            window = self._server.h2.local_flow_control_window(self._id)
            size = min(window, self._server.h2.max_outbound_frame_size, len(self._unsent))
            if size <= 0:
                self._server.flush()
                self._server.room.clear()
                await self._server.room.wait()
                continue
            self._server.h2.send_data(self._id, bytes(self._unsent[:size]))
            del self._unsent[:size]
        self._server.flush()
        await self._server.writer.drain()

    async def end(self) -> None:
        """The response is whole."""
        if not self._begun and not self._unsent:
            assert self._head is not None
            self._server.h2.send_headers(self._id, self._head, end_stream=True)
        else:
            await self.drain()
            self._server.h2.end_stream(self._id)
        self._server.flush()

    def break_off(self, *, reset: bool) -> None:
        """End the stream alone, or the connection."""
        self.cut = True
        if reset:
            self._server.h2.reset_stream(self._id, ErrorCodes.INTERNAL_ERROR)
            self._server.flush()
        else:
            self._server.writer.transport.abort()


# --- faults by request ------------------------------------------------------------------------------------


OnRequest = Callable[[Http2Server, int], bool]


def once(do: OnRequest, *, at: int = 1) -> OnRequest:
    """`do` with the request of this number, and nothing with others."""
    count = 0

    def on_request(server: Http2Server, stream_id: int) -> bool:
        nonlocal count
        count += 1
        return count == at and do(server, stream_id)

    return on_request


def resets(code: ErrorCodes) -> OnRequest:
    def on_request(server: Http2Server, stream_id: int) -> bool:
        server.h2.reset_stream(stream_id, code)
        return True

    return on_request


def goes_away(last: int, code: ErrorCodes = ErrorCodes.NO_ERROR) -> OnRequest:
    def on_request(server: Http2Server, stream_id: int) -> bool:
        server.h2.close_connection(code, last_stream_id=last)
        server.last = last
        server.h2.state_machine.state = ConnectionState.SERVER_OPEN  # it finishes what it began
        return stream_id > last

    return on_request
