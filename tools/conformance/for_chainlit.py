"""A plugin of pytest: Chainlit's tests of its SQL data layer get the layer of Chatkeep."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any

from chainlit.data import sql_alchemy
from tools.conformance.homes import place, prefix_of

from chatkeep.adapters.chainlit import ChatkeepDataLayer

_numbers = itertools.count()


class ReplacedDataLayer(ChatkeepDataLayer):
    """A layer of Chatkeep with the parameters of the one for SQL."""

    def __init__(self, _conninfo: str, storage_provider: Any = None) -> None:
        """Make one in a place of its own."""
        home = place(f"sql-{next(_numbers)}")
        super().__init__(home, prefix=f"{prefix_of(home)}chainlit:", storage=storage_provider)

    async def get_current_timestamp(self) -> str:
        """Return the time as the layer for SQL has it."""
        return datetime.now(UTC).isoformat()

    async def execute_sql(self, query: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        """Answer the two queries by which the tests look at a thread."""
        thread: Any = await self.get_thread(parameters["id"])
        column = query.split('"')[1]
        return [{column: json.dumps(thread[column]) if column == "metadata" else thread[column]}]


sql_alchemy.SQLAlchemyDataLayer = ReplacedDataLayer  # type: ignore[misc, assignment]
