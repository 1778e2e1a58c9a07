"""Counts the machine's instructions that a piece of work takes, below valgrind, where they are the same every time.

Valgrind runs a program on a processor of its own making, and a program talks to it by a row of instructions that
do nothing elsewhere. Its tool callgrind counts, and tells into its log how much by now when it is asked.

Source: valgrind.h and callgrind.h of valgrind 3.19, and the monitor commands in callgrind's manual.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

_ASK: Final = bytes.fromhex(  # of the x86-64: the address of what is asked goes to rax, the answer comes in rdx
    "4889f831d248c1c70348c1c70d48c1c73d48c1c7334887db4889d0c3"
)
_IS_BELOW, _COMMAND, _START = 0x1001, 0x1202, 0x43540004
_STATUS: Final = ctypes.create_string_buffer(b"status internal")
_COUNT: Final = re.compile(rb"^events-1: (\d+)$", re.MULTILINE)


class Counter:
    """Counts by the callgrind that this process runs below, whose log is that file."""

    def __init__(self, log: Path) -> None:
        """Begin to count."""
        self._log = log.open("rb")
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(_ASK)
        place = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._ask = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(place)
        if not self._request(_IS_BELOW):
            raise RuntimeError("this is to run below valgrind")
        self._request(_START)

    def instructions(self, work: Callable[[], object]) -> int:
        """Return how many instructions a piece of work takes."""
        before = self._count()
        work()
        return self._count() - before

    def _count(self) -> int:
        self._log.read()
        self._request(_COMMAND, ctypes.addressof(_STATUS))
        told = _COUNT.search(self._log.read())
        if told is None:
            raise RuntimeError("callgrind does not tell what it counted")
        return int(told[1])

    def _request(self, code: int, argument: int = 0) -> int:
        asked = (ctypes.c_uint64 * 6)(code, argument)
        return int(self._ask(ctypes.addressof(asked)))
