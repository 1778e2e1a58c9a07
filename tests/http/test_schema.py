"""The OpenAPI document and the server say the same: schemathesis tries to show otherwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chatkeep.core.model import Selection
from chatkeep.core.paging import Place, cursor_at, scope_of

if TYPE_CHECKING:
    from tests.http.conftest import Server

SECONDS = 45
CONFIG = """
[generation]
allow-x00 = false
codec = "utf-8"

[parameters]
"query.cursor" = "{cursor}"

[[operations]]
include-path = "/api/sessions"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

[[operations]]
include-path = "/api/sessions/search"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

[[operations]]
include-path = "/api/v1/sessions"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

[[operations]]
include-path-regex = "^/api/v1/chat"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", "503"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422", "503"]

[[operations]]
include-path-regex = "^/v1(beta)?/"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", "503"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422", "503"]
phases.coverage.unexpected-methods = ["patch", "put"]

[[operations]]
include-path = "/api/v1/events"
enabled = false

[[operations]]
include-path = "/mcp"
enabled = false

[[operations]]
include-path = "/page/{{edition}}/{{name}}"
enabled = false

[[operations]]
include-path = "/api/v1/export"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

[[operations]]
include-path = "/api/v1/import"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

[[operations]]
include-path = "/api/v1/blobs/{{sha256}}"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "422"]

[[operations]]
include-path = "/api/v1/fork"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

[[operations]]
include-path = "/api/v1/compact"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

[[operations]]
include-path-regex = "^/api/v1/people/"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

[[operations]]
include-path-regex = "^/api/v1/trash/"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

[[operations]]
include-path = "/api/v1/messages"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]
"""


def test_schemathesis_finds_no_failure(server: Server, tmp_path: Path) -> None:
    """All checks in all phases, with valid and invalid data: not one failure.

    A cursor is opaque and belongs to its list, so one is given, and lists may refuse it; NUL and lone
    surrogates, which no schema can exclude from arbitrary JSON, have tests of their own. Nor can one say
    that `after` and `max_tokens` exclude each other, and `log` and Markdown, or which bytes are an export,
    or that a whole number is written without a fraction, or which ids and items are OpenAI's.
    MCP has a description of its own.
    Nobody chats here: the server has no model, and says so. The stream of events has no end to check, and
    which files the page has is known to the page. Below `/v1/` other methods pass to the model's server.
    """
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(cursor=cursor_at(Place("a"), scope_of("sessions", Selection()))))
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    options = ["--checks", "all", "--max-examples", "8", "--max-time", str(SECONDS), "--seed", "1"]
    ran = subprocess.run(
        [
            *(sys.executable, "-c", program, "--config-file", str(config)),
            *("run", f"{server.url}/openapi.json", "-H", f"Authorization: Bearer {server.secret}"),
            *options,
            *("--continue-on-failure", "--suppress-health-check", "all"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=SECONDS * 2,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
