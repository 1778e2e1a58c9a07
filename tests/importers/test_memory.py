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
UNPACKED = 120  # MiB
MEMORY_MAX = 64  # MiB
_HEAD = b'{"format":1,"key":"a:%d","channel":"a",'
_TAIL = b'"messages":[{"role":"user","content":"hi"}]}\n'
# Says by how much reading a file has made the process larger, at the most, and how many records there were
_READ = """
import re, sys
from pathlib import Path
from chatkeep import importers

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = peak()
count = sum(1 for _ in importers.read_sessions(Path(sys.argv[1]), "jsonl"))
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
    "a bomb": lambda: _long(_HEAD % 1 + b'"messages":[{"role":"user","content":"', b"w", b'"}]}\n', 1000),
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


@pytest.mark.parametrize("kind, suffix", [("one text", ".gz"), ("a bomb", ".gz"), *((kind, ".zst") for kind in KINDS)])
def test_read_an_archive_in_little_memory(tmp_path: Path, kind: str, suffix: str) -> None:
    """Of 120 MiB, and of a bomb, no more than 64 MiB are ever in memory."""
    path = _packed(tmp_path / f"a.jsonl{suffix}", KINDS[kind]())
    done = subprocess.run([sys.executable, "-c", _READ, path], capture_output=True, text=True, check=True)
    grown, count = map(int, done.stdout.split())
    assert grown <= MEMORY_MAX
    assert count >= 1


def test_refuse_an_archive_that_asks_for_much_memory(tmp_path: Path) -> None:
    """A frame says how much memory unpacking it takes; what asks for more than 8 MiB is told how to be packed."""
    path = _packed(tmp_path / "a.jsonl.zst", _long(_HEAD % 1, b" ", _TAIL, 20), window_log=24)
    (flaw,) = importers.read_sessions(path, "jsonl")
    assert isinstance(flaw, Flaw)
    assert "more than 8 MiB of memory" in flaw.reason
    fine = _packed(tmp_path / "b.jsonl.zst", _long(_HEAD % 1, b" ", _TAIL, 20), window_log=23)
    assert [Session] == list(map(type, importers.read_sessions(fine, "jsonl")))
