"""One HTTP/2 connection: h2's state machine (RFC 9113) on a socket.

h2 does no I/O. What is decided here: the connection's window (given back as bytes arrive, so that one slow
reader holds up nobody), which requests an error ends, and when a silent connection is a dead one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import httpx
from aiohttp.connector import Connection as HeldConnection
from h2 import events
from h2.config import H2Configuration
from h2.connection import ConnectionInputs, ConnectionState, H2Connection, H2ConnectionStateMachine
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from services.fetcher.http.http2_stream import (
    STREAM_WINDOW,
    NotProcessed,
    SpeaksHttp1,
    Stream,
    head_of,
    meaning_of,
)
from services.fetcher.http.sessions import keep_session

CONNECTION_WINDOW = 16 << 20  # bytes under way to us
MAX_HEADER_BYTES = 64 * 1024  # of all headers of a response, 32 more for each line (RFC 9113 §6.5.2)
MAX_UNSENT_BYTES = 4 << 20  # of answers to a peer that floods us and does not read
QUIET_SECONDS = 15.0  # a connection from which nothing comes for so long is asked (PING), then given up
IDLE_QUIET_SECONDS = 60.0  # the same while no request waits: middleboxes forget a silent one after minutes
_SETTINGS = 4  # RFC 9113 §6.5: the type of a server's first frame


class _StateMachine(H2ConnectionStateMachine):
    """h2's, for which GOAWAY is not the end: what the server began it finishes (RFC 9113 §6.8)."""

    _transitions = H2ConnectionStateMachine._transitions | {
        (state, ConnectionInputs.RECV_GOAWAY): (None, state)
        for state in (ConnectionState.IDLE, ConnectionState.CLIENT_OPEN)
    }


class Connection(asyncio.Protocol):
    """A connection that chose HTTP/2. `on_change` is called when there may be room for a request."""

    def __init__(self, held: HeldConnection, on_change: Callable[[], None]) -> None:
        """Takes the socket over from aiohttp, which goes on counting it until it is closed."""
        self._held = held
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._h2.state_machine = _StateMachine()
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_BYTES,
            },
        )
        self._streams: dict[int, Stream] = {}
        self._owed = 0  # bytes that came and were not given back to the connection's window
        self._ends = False  # takes no further request
        self._first = b""  # the first bytes that came
        self.begun = 0  # requests, ever
        self.answered = False
        self.took: int | None = (
            None  # how many requests the server took before it said goodbye to further ones
        )
        self.broken = False  # it did not turn out to speak HTTP/2 at all
        self.idle_since = self._heard = self._loop.time()
        self._pinged = False
        self._flushes = False
        self._writable = asyncio.Event()
        self._writable.set()
        protocol, transport = held.protocol, held.transport
        assert protocol is not None
        if transport is None or transport.is_closing():
            raise httpx.ConnectError("the connection was lost")
        self._transport = transport
        self._aiohttp = protocol
        transport.set_protocol(self)
        self._watch = self._loop.call_later(QUIET_SECONDS, self._look)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW - 65_535)
        self._flush()
        early, protocol._tail = protocol._tail, b""
        if early:
            self.data_received(early)

    # --- requests ---------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether further requests may go over it, now or when others are done."""
        return not self._ends and not self._transport.is_closing()

    @property
    def has_room(self) -> bool:
        """Whether a request may go over it now."""
        return self.usable and len(self._streams) < self._h2.remote_settings.max_concurrent_streams

    @property
    def idle(self) -> bool:
        """Whether no request uses it."""
        return not self._streams

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The response's head; its body is still to be read. To be called when there is room.

        Raises httpx's errors, and `NotProcessed`.
        """
        with self._as_httpx():
            stream_id = self._h2.get_next_available_stream_id()
        stream = self._streams[stream_id] = Stream(self, stream_id, request)
        self.begun += 1
        try:
            with self._as_httpx():
                self._h2.send_headers(stream_id, head_of(request), end_stream=not request.content)
            # A wrong Content-Length is that response's fault alone (RFC 9113 §8.1.1); h2 would end the
            # connection. `Stream` sees to it.
            self._h2.streams[stream_id]._track_content_length = lambda *_: None  # type: ignore[method-assign]
            self._flush_soon()
            if request.content:
                await self._upload(stream, request.content)
            return await stream.response()
        except BaseException:
            self.leave(stream)
            raise

    async def _upload(self, stream: Stream, content: bytes) -> None:
        """Send a body, until the response begins: then the server wants no more of it."""
        sent = 0
        stream.uploads = True
        while sent < len(content) and not stream.is_answered:
            await self._writable.wait()
            with self._as_httpx():
                room = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size)
                if room <= 0:
                    await stream.something()
                    continue
                piece = content[sent : sent + room]
                sent += len(piece)
                self._h2.send_data(stream.id, piece, end_stream=sent == len(content))
            self._flush()
        stream.uploads = sent < len(content)

    def leave(self, stream: Stream) -> None:
        """The stream's request is over, however it ended."""
        if self._streams.pop(stream.id, None) is None:
            return
        if not stream.ended or stream.uploads:
            with contextlib.suppress(ProtocolError):  # it, or the connection, is closed already
                self._h2.reset_stream(stream.id, ErrorCodes.CANCEL)
            self._flush_soon()
        self.idle_since = self._loop.time()
        if self._ends and not self._streams:
            self.close()
        self._on_change()

    def give_back(self, stream: Stream, size: int) -> None:
        """Let the server send so many more bytes of this body."""
        with contextlib.suppress(ProtocolError):
            self._h2.increment_flow_control_window(size, stream.id)
        self._flush_soon()

    def close(self) -> None:
        """Say goodbye and close the socket; requests that run fail."""
        self._ends = True
        if not self._transport.is_closing():
            with contextlib.suppress(ProtocolError):
                self._h2.close_connection()
            self._flush()
            self._transport.close()

    # --- the socket -------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of the server."""
        self._heard = self._loop.time()
        self._pinged = False
        if len(self._first) < 4:
            self._first += data[:4]
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except ProtocolError as error:
            self._flush()
            self._end(httpx.RemoteProtocolError, f"HTTP/2: {type(error).__name__}")
            return
        if self._owed >= CONNECTION_WINDOW // 4:
            with contextlib.suppress(ProtocolError):
                self._h2.increment_flow_control_window(self._owed)
            self._owed = 0
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._end(httpx.ReadError, "the connection was lost")
        self._watch.cancel()
        self._aiohttp.connection_lost(exc)
        self._held.close()

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The socket's buffer has room."""
        self._writable.set()

    def _flush_soon(self) -> None:
        """Write once for all requests of the loop's turn: a write costs more than a request's frames."""
        if not self._flushes:
            self._flushes = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushes = False
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)
            if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                self._end(httpx.RemoteProtocolError, "the server asks and does not read")

    def _end(self, kind: type[httpx.TransportError], text: str) -> None:
        """Nothing more comes: every request that runs fails."""
        self.broken = self.broken or (not self._ends and self._first[3:4] != bytes([_SETTINGS]))
        self._ends = True
        self._writable.set()
        for stream in list(self._streams.values()):
            stream.fail(SpeaksHttp1() if self.broken else kind(text))
        self._transport.abort()
        self._on_change()

    def _look(self) -> None:
        """Ask a connection that fell silent; end one that did not answer."""
        patience = QUIET_SECONDS if self._streams or self._pinged else IDLE_QUIET_SECONDS
        if self._loop.time() - self._heard >= patience:
            if self._pinged:
                self._end(httpx.ReadError, "the connection is dead")
                return
            self._pinged = True
            with contextlib.suppress(ProtocolError):
                self._h2.ping(b"orchard.")
            self._flush()
        self._watch = self._loop.call_later(QUIET_SECONDS, self._look)

    # --- what h2 made of the bytes ----------------------------------------------------------------

    def _take(self, event: events.Event) -> None:
        match event:
            case events.DataReceived():
                self._owed += event.flow_controlled_length
                stream = self._streams.get(event.stream_id)
                if stream is not None:
                    stream.take(event.data, event.flow_controlled_length)
            case events.ResponseReceived():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.begin(event.headers)
            case events.StreamEnded():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.end()
                    if not self.answered:
                        self.answered = True
                        keep_session(self._transport)
                    self.leave(stream)
            case events.StreamReset():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.fail(meaning_of(event.error_code))
                    self.leave(stream)
            case events.WindowUpdated():
                for stream in self._streams.values():
                    if event.stream_id in (0, stream.id):
                        stream.wake()
            case events.RemoteSettingsChanged():
                self._on_change()
            case events.ConnectionTerminated():
                self._goes_away(event.last_stream_id or 0, event.error_code)

    def _goes_away(self, last_stream_id: int, code: ErrorCodes | int | None) -> None:
        self._ends = True
        not_begun = NotProcessed if code == ErrorCodes.NO_ERROR else SpeaksHttp1
        for stream in list(self._streams.values()):
            if stream.id > last_stream_id:
                self.took = (last_stream_id + 1) // 2  # a client's streams have odd numbers (RFC 9113 §5.1.1)
                stream.fail(not_begun())
                self.leave(stream)
        if not self._streams:
            self.close()
        self._on_change()

    @contextlib.contextmanager
    def _as_httpx(self) -> Iterator[None]:
        try:
            yield
        except ProtocolError as error:  # it was closed under us, or the headers cannot be sent
            raise httpx.RemoteProtocolError(f"HTTP/2: {type(error).__name__}") from error
