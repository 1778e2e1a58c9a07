"""Work in a process of its own, so that nothing else waits for it.

Python runs one thread of a process at a time. An append gives its turn away some fifty times, at each call of the
system or of SQLite, and waits to get it back; beside a search it took twice as long (`bench/search.py`, "while
searches run"), beside a text that takes long to fold fourteen times (`bench/hostile.py`). Another process takes nothing
from it but a processor.

`Beside` starts that process and starts it again when it ends. Each of its channels carries one piece of work at a
time: a message goes as its length in four bytes and then its bytes, an answer comes the same way. Where there is no
channel, or no answer comes, or an empty one, the work is to be done here: nothing depends on the other process but
speed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

_PATIENCE_S: Final = 5.0  # beyond the time that the work may take
_START_S: Final = 120.0
_PAUSE_S: Final = 1.0
_PAUSE_MAX_S: Final = 60.0
_LENGTH_BYTES: Final = 4
_READ_BYTES: Final = 1 << 18
_log = logging.getLogger("chatkeep.workers.beside")


class Beside:
    """Another process: `command`, with the numbers of its channels' descriptors as last arguments."""

    def __init__(self, command: Sequence[str], channels: int, is_told: Callable[[], bool] = lambda: True) -> None:
        """Start it; until it is ready, and while it `is_told` not all that was answered here, it is not asked."""
        self.channel_count = channels
        self._command = command
        self._is_told = is_told
        self._channels: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._turns = asyncio.Semaphore(channels)
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._under_way: set[asyncio.Task[bytes | None]] = set()
        self._thread = threading.Thread(target=self._keep, name="chatkeep-beside", daemon=True)
        self._thread.start()

    async def ask(self, *message: bytes, lasts_s: float) -> bytes | None:
        """Return what the other process answers within that time, None when the work is to be done here."""
        if not self._is_told():
            return None
        task = asyncio.create_task(self._in_turn(message, lasts_s))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)  # the answer is taken from the channel, whoever still waits for it

    async def _in_turn(self, message: Sequence[bytes], lasts_s: float) -> bytes | None:
        async with self._turns:
            try:
                channel = self._channels.get_nowait()
            except queue.Empty:
                return None
            return await self._asked(channel, message, lasts_s)

    async def _asked(self, channel: socket.socket, message: Sequence[bytes], lasts_s: float) -> bytes | None:
        answered = None
        try:
            async with asyncio.timeout(lasts_s + _PATIENCE_S):
                answered = await _exchanged(channel, message)
        except (OSError, EOFError, ValueError):
            return None
        finally:
            if answered is None:
                self._give_up(channel)
        self._channels.put(channel)
        return answered or None

    def _give_up(self, channel: socket.socket) -> None:
        """Begin anew with another process: what may still come on the channel is of other work."""
        channel.close()
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the other process."""
        self._stop.set()
        if (process := self._process) is not None:
            process.kill()
        self._thread.join()
        self._drop_channels()

    def _keep(self) -> None:
        """Have the process run; when it ends soon again and again, start it more and more rarely."""
        pause_s = _PAUSE_S
        while not self._stop.is_set():
            if not self._is_told():  # it would find no index that it may use
                self._stop.wait(_PAUSE_S)
                continue
            began = time.monotonic()
            with contextlib.suppress(OSError):
                self._run()
            self._drop_channels()
            if not self._stop.is_set():
                _log.warning("a process beside this one ended; its work is done here until there is another")
            pause_s = _PAUSE_S if time.monotonic() - began > _PAUSE_MAX_S else min(2 * pause_s, _PAUSE_MAX_S)
            self._stop.wait(pause_s)

    def _run(self) -> None:
        """Start the process, give out its channels once they are ready, and wait for its end."""
        pairs = [socket.socketpair() for _ in range(self.channel_count)]
        theirs = [other.fileno() for _, other in pairs]
        with contextlib.ExitStack() as own:
            for channel, _ in pairs:
                own.callback(channel.close)
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the wiring's own command
                    [*self._command, *map(str, theirs)],
                    pass_fds=theirs,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    process_group=0,  # Ctrl-C is meant for this one, which ends the other
                )
            finally:
                for _, other in pairs:
                    other.close()
            if self._stop.is_set():
                self._process.kill()
            with contextlib.suppress(OSError, EOFError):
                self._give_out([channel for channel, _ in pairs])
                own.pop_all()
        self._process.wait()

    def _give_out(self, channels: Sequence[socket.socket]) -> None:
        """Let work go through the channels once there is a greeting from each."""
        for channel in channels:
            channel.settimeout(_START_S)
            _received(channel)
        for channel in channels:
            channel.settimeout(0)
            self._channels.put(channel)

    def _drop_channels(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._channels.get_nowait().close()


async def _exchanged(channel: socket.socket, message: Sequence[bytes]) -> bytes:
    """Send a message and return the next one that comes."""
    loop = asyncio.get_running_loop()
    for part in (_length(*message), *message):
        await loop.sock_sendall(channel, part)
    data = bytearray()
    while len(data) < _LENGTH_BYTES or len(data) < _LENGTH_BYTES + _size_in(data):
        piece = await loop.sock_recv(channel, _READ_BYTES)
        if not piece:
            raise EOFError
        data += piece
    return bytes(data[_LENGTH_BYTES:])


def answer(channel: socket.socket, work: Callable[[bytes], bytes]) -> None:
    """Answer what comes on a channel, one message after the other, until nobody is at its other end."""
    with contextlib.suppress(OSError, EOFError):
        channel.sendall(_length(b""))
        while True:
            message = _received(channel)
            try:
                done = work(message)
            except Exception:  # noqa: BLE001 - whoever asked meets the same, and tells of it
                done = b""
            channel.sendall(_length(done))
            channel.sendall(done)
            del message, done  # which may be large, while the next one is waited for


def _length(*message: bytes) -> bytes:
    return sum(map(len, message)).to_bytes(_LENGTH_BYTES, "big")


def _size_in(data: bytes | bytearray) -> int:
    return int.from_bytes(data[:_LENGTH_BYTES], "big")


def _received(channel: socket.socket) -> bytes:
    return _exactly(channel, _size_in(_exactly(channel, _LENGTH_BYTES)))


def _exactly(channel: socket.socket, size: int) -> bytes:
    pieces = []
    while size > 0:
        piece = channel.recv(min(size, _READ_BYTES))
        if not piece:
            raise EOFError
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
