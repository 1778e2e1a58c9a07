"""Work in another process, so that nothing here waits for it.

Python runs one thread of a process at a time. An append yields its turn about fifty times, at each call of the system
or SQLite, and waits for its next turn. Beside a search it took twice as long (`bench/search.py`, "while searches
run"), beside the folding of a long text fourteen times (`bench/hostile.py`). Another process only takes a processor.

`Beside` starts the process, and restarts it when it ends. Each of its channels carries one piece of work at a time. A
message is its length in four bytes, then its bytes; an answer has the same form. Without a process or an
answer, or with an empty answer, the caller does the work itself. So only speed depends on the other process.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

_PATIENCE_S: Final = 5.0  # seconds beyond the time of the work
_START_S: Final = 120.0  # seconds for the process to open the store
_PAUSE_S: Final = 1.0  # seconds before a restart; doubled each time
_PAUSE_MAX_S: Final = 60.0  # seconds, the longest pause
_LENGTH_BYTES: Final = 4  # bytes of the length before each message
_READ_BYTES: Final = 1 << 18  # bytes read at a time
_log = logging.getLogger("chatkeep.workers.beside")


class Beside:
    """Another process: `command`, with the descriptors of its channels as last arguments."""

    def __init__(self, command: Sequence[str], channels: int, is_told: Callable[[], bool] = lambda: True) -> None:
        """Start the process; it gets no work before it is ready, nor while `is_told` returns False.

        `is_told` tells whether the index on the disk has every change answered here.
        """
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
        """Return the answer of the other process within `lasts_s` seconds; None if the caller has to do the work."""
        if not self._is_told():
            return None
        task = asyncio.create_task(self._in_turn(message, lasts_s))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)  # take the answer off the channel even after the caller has gone

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
        """Kill the process to get a new one: a late answer on the channel would belong to other work."""
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
        """Keep the process running; pause longer before each restart if it keeps ending soon."""
        pause_s = _PAUSE_S
        while not self._stop.is_set():
            if not self._is_told():  # the process needs an up-to-date index on the disk
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
        """Start the process, put its channels in the pool once it is ready, and wait for its end."""
        pairs = [socket.socketpair() for _ in range(self.channel_count)]
        theirs = [other.fileno() for _, other in pairs]
        with contextlib.ExitStack() as own:
            for channel, _ in pairs:
                own.callback(channel.close)
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the command comes from `wiring`
                    [*self._command, *map(str, theirs)],
                    pass_fds=theirs,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    process_group=0,  # Ctrl-C goes only to this process, which ends the other
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
        """Put the channels in the pool after a greeting on each."""
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
    """Send a message and return the next one received."""
    loop = asyncio.get_running_loop()
    for part in (_length(*message), *message):
        await loop.sock_sendall(channel, part)
    data = bytearray()
    while len(data) < _LENGTH_BYTES or len(data) < _LENGTH_BYTES + _size_in(data):
        piece = await loop.sock_recv(channel, _READ_BYTES)
        if not piece:
            raise EOFError
        data += piece
    with memoryview(data) as whole:
        return bytes(whole[_LENGTH_BYTES:])  # one copy: of 16 MiB it takes 5 ms


def answer(channel: socket.socket, work: Callable[[bytes], bytes]) -> None:
    """Answer the messages on a channel, one after the other, until the other end closes."""
    with contextlib.suppress(OSError, EOFError):
        channel.sendall(_length(b""))
        while True:
            try:
                done = work(_received(channel))
            except Exception:  # noqa: BLE001 - the asking process repeats the work and reports the error
                done = b""
            channel.sendall(_length(done))
            channel.sendall(done)
            del done  # it may be large; free it before waiting


def _length(*message: bytes) -> bytes:
    return sum(map(len, message)).to_bytes(_LENGTH_BYTES, "big")


def _size_in(data: bytes | bytearray) -> int:
    return int.from_bytes(data[:_LENGTH_BYTES], "big")


def _received(channel: socket.socket) -> bytes:
    return _exactly(channel, _size_in(_exactly(channel, _LENGTH_BYTES)))


def _exactly(channel: socket.socket, size: int) -> bytes:
    taken = io.BytesIO()  # without a second copy at the end
    while size > 0:
        piece = channel.recv(min(size, _READ_BYTES))
        if not piece:
            raise EOFError
        taken.write(piece)
        size -= len(piece)
    return taken.getvalue()
