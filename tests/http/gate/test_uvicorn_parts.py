"""The connection stands on parts of uvicorn that no document promises: these are all of them, in the known state."""

from __future__ import annotations

import ast
import inspect
from hashlib import sha256

import uvicorn
from uvicorn.protocols.http import flow_control, httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from chatkeep.http.gate import connection
from chatkeep.http.gate.connection import BoundedProtocol

ATTRIBUTES = {"client", "connections", "cycle", "flow", "headers", "parser", "pipeline", "scope", "transport", "url"}
METHODS = {
    "__init__",
    "_unset_keepalive_if_required",
    "connection_lost",
    "connection_made",
    "data_received",
    "eof_received",
    "on_body",
    "on_header",
    "on_headers_complete",
    "on_message_begin",
    "on_message_complete",
    "on_response_complete",
    "pause_writing",
    "resume_writing",
    "shutdown",
}
OWN = {"_deadline", "_reader_deadline", "_received", "_sizes", "address", "waits_since"}
"""The attributes that the connection sets itself."""
OF_A_CYCLE = {"keep_alive", "more_body", "response_complete", "scope"}
OF_THE_FLOW = {"pause_reading", "resume_reading", "write_paused"}
READ = "1f0ad26f"
"""The digest of the parts, as they were when this connection was last checked against them."""


def test_use_only_these_parts() -> None:
    """What the connection takes from uvicorn stands in the lists above, and nowhere else."""
    ours, theirs = vars(BoundedProtocol), vars(HttpToolsProtocol)
    overridden = {name for name in ours if inspect.isfunction(ours[name]) and name in theirs}
    own = (ours.keys() - theirs.keys()) | OWN
    assert (_after("self") - own) | overridden == ATTRIBUTES | METHODS
    assert _after("self.cycle") | _after("self._begun") == OF_A_CYCLE
    assert _after("self.flow") == OF_THE_FLOW


def test_find_the_parts_in_uvicorn_as_they_were() -> None:
    """Other code there has to be read first: then its digest comes here, and its version to pyproject.toml."""
    parts = (HttpToolsProtocol, RequestResponseCycle, FlowControl)
    source = "".join(map(inspect.getsource, parts))
    assert all(f"self.{name}" in source or f"def {name}" in source for name in ATTRIBUTES | METHODS | OF_THE_FLOW)
    assert sha256(source.encode()).hexdigest()[:8] == READ, (
        f"uvicorn {uvicorn.__version__}: compare {httptools_impl.__file__} and {flow_control.__file__}"
    )


def _after(place: str) -> set[str]:
    """Return the attributes that the connection's source takes from `place`, such as `self.flow`."""
    [found] = [
        node
        for node in ast.parse(inspect.getsource(connection)).body
        if isinstance(node, ast.ClassDef) and node.name == "BoundedProtocol"
    ]
    attributes = (node for node in ast.walk(found) if isinstance(node, ast.Attribute))
    return {node.attr for node in attributes if ast.unparse(node.value) == place}
