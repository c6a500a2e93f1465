"""Connections with time limits: clients that send or read too slowly are closed, and all when the server ends."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD = 10.0  # seconds a client may take to send a request's head
BODY = 10.0  # seconds to send its body
STALLED = 60.0  # seconds a client may stop reading
GRACE = 1.0  # seconds that running requests get when the server ends
WAITING = 64  # connections that may wait for a request's head; beyond that the oldest is closed


def limited_protocol() -> type[H11Protocol]:
    """The protocol of one server's connections, with these limits."""
    waiting: dict[Any, asyncio.TimerHandle] = {}  # the oldest first

    class Connection(H11Protocol):
        _stalled: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            super().connection_made(transport)
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_waiting()
            else:
                self._await_head()

        def pause_writing(self) -> None:
            self._stalled = self.loop.call_later(STALLED, self.transport.abort)
            super().pause_writing()

        def resume_writing(self) -> None:
            self._stop_stalling()
            super().resume_writing()

        def shutdown(self) -> None:
            super().shutdown()
            self.loop.call_later(GRACE, self.transport.abort)

        def _await_head(self) -> None:
            if self in waiting or self.transport.is_closing():
                return
            if len(waiting) >= WAITING:
                oldest = next(iter(waiting))
                waiting.pop(oldest).cancel()
                oldest.transport.abort()
            waiting[self] = self.loop.call_later(HEAD, self.transport.abort)

        def _stop_waiting(self) -> None:
            self._stop_stalling()
            if (timer := waiting.pop(self, None)) is not None:
                timer.cancel()

        def _stop_stalling(self) -> None:
            if self._stalled is not None:
                self._stalled.cancel()
                self._stalled = None

    return Connection
