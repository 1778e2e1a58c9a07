"""Reading what is packed takes little memory, whatever it unpacks to."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from chatkeep import importers
from chatkeep.core.model import Session
from chatkeep.importers import Flaw

MIB = 1 << 20
UNPACKED = 80  # MiB
MEMORY_MAX = 64  # MiB
_HEAD = b'{"format":1,"key":"a:%d","channel":"a",'
_SAID = b'{"type":"user","uuid":"u%d","sessionId":"s","timestamp":"2026-01-01T00:00:00Z","message":{"content":"'
_TAIL = b'"messages":[{"role":"user","content":"hi"}]}\n'
# Says by how much reading a file has made the process larger, at the most, and how many records there were
_READ = """
import re, sys
from pathlib import Path
from chatkeep import importers

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = peak()
count = sum(1 for _ in importers.read_sessions(Path(sys.argv[1]), sys.argv[2]))
print((peak() - before) // 1024, count)
"""


def _long(begins: bytes, piece: bytes, ends: bytes, mib: int = UNPACKED) -> Iterator[bytes]:
    yield begins
    yield from (piece * (MIB // len(piece)) for _ in range(mib))
    yield ends


def _fields() -> Iterator[bytes]:
    yield _HEAD % 1
    yield from (b'"field%d":"%b",' % (number, b"x" * 1000) for number in range(UNPACKED * MIB // 1020))
    yield _TAIL


def _sessions() -> Iterator[bytes]:
    message = b'{"role":"user","content":"%b"},' % (b"word " * 500)
    for number in range(UNPACKED * MIB // (len(message) * 100)):
        yield _HEAD % number + b'"messages":[' + message * 100 + b'{"role":"user","content":"x"}]}\n'


KINDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "one text": lambda: _long(_HEAD % 1 + b'"messages":[{"role":"user","content":"', b"word ", b'"}]}\n'),
    "one header": lambda: _long(_HEAD % 1 + b'"metadata":{"x":"', b"word ", b'"},' + _TAIL),
    "one name": lambda: _long(_HEAD % 1 + b'"', b"name ", b'":1,' + _TAIL),
    "many fields": _fields,
    "many values": lambda: _long(
        _HEAD % 1 + b'"messages":[{"role":"user","content":"x","metadata":{"x":[', b"1,", b"1]}}]}\n"
    ),
    "nested": lambda: _long(_HEAD % 1 + b'"messages":[{"role":"user","metadata":', b"[", b""),
    "many sessions": _sessions,
    "a bomb": lambda: _long(_HEAD % 1 + b'"messages":[{"role":"user","content":"', b"w", b'"}]}\n', 300),
}


def _packed(path: Path, pieces: Iterator[bytes], *, window_log: int = 0) -> Path:
    with path.open("wb") as file:
        if path.suffix == ".gz":
            with gzip.open(file, "wb", compresslevel=1) as into:
                into.writelines(pieces)
        else:
            parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=window_log or 20)
            with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(file) as packing:
                for piece in pieces:
                    packing.write(piece)
    return path


def _log() -> Iterator[bytes]:
    """Yield a log of short lines, one line of 40 MiB, and one cut in the middle."""
    for number in range(UNPACKED * MIB // 4 // 1100):
        yield _SAID % number + b"word " * 200 + b'"}}\n'
    yield from _long(_SAID % -1, b"word ", b'"}}\n', UNPACKED // 2)
    yield _SAID % -2


def _grown(path: Path, fmt: str) -> tuple[int, int]:
    """Return the MiB by which a process grows that reads a file, and the count of records."""
    done = subprocess.run([sys.executable, "-c", _READ, path, fmt], capture_output=True, text=True, check=True)
    grown, count = map(int, done.stdout.split())
    return grown, count


@pytest.mark.parametrize("kind, suffix", [("one text", ".gz"), ("a bomb", ".gz"), *((kind, ".zst") for kind in KINDS)])
def test_read_an_archive_in_little_memory(tmp_path: Path, kind: str, suffix: str) -> None:
    """Of 80 MiB, and of a bomb, no more than 64 MiB are ever in memory."""
    path = _packed(tmp_path / f"a.jsonl{suffix}", KINDS[kind]())
    grown, count = _grown(path, "jsonl")
    assert grown <= MEMORY_MAX
    assert count >= 1


def test_read_a_log_in_little_memory(tmp_path: Path) -> None:
    """Of a log of many lines and a very long one, messages wait on disk and texts are cut."""
    grown, count = _grown(_packed(tmp_path / "a.jsonl.zst", _log()), "claude-code")
    assert grown <= MEMORY_MAX
    assert count > 1


def test_refuse_an_archive_that_asks_for_much_memory(tmp_path: Path) -> None:
    """A frame says how much memory unpacking it takes; what asks for more than 8 MiB is told how to be packed."""
    path = _packed(tmp_path / "a.jsonl.zst", _long(_HEAD % 1, b" ", _TAIL, 20), window_log=24)
    (flaw,) = importers.read_sessions(path, "jsonl")
    assert isinstance(flaw, Flaw)
    assert "more than 8 MiB of memory" in flaw.reason
    fine = _packed(tmp_path / "b.jsonl.zst", _long(_HEAD % 1, b" ", _TAIL, 20), window_log=23)
    assert [Session] == list(map(type, importers.read_sessions(fine, "jsonl")))
