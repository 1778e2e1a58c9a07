"""Sessions in the form of `--json`: the names of both dialects of the HTTP API, with one meaning each.

`id` and `key` are equal; `message_count` counts all messages, `talk_count` those of user and assistant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from chatkeep.core.model import Hits, Json, Page, Summary
    from chatkeep.store.admin import Cuts


def listed(summary: Summary) -> dict[str, Json]:
    """Return a session as in lists."""
    import msgspec  # noqa: PLC0415 - only for JSON

    from chatkeep.wire import answers  # noqa: PLC0415

    item = msgspec.to_builtins(answers.summary_item(summary))
    return {"id": item.pop("id"), "key": summary.header.key, **item}


def listed_page(page: Page, *, metadata: bool = False) -> dict[str, Json]:
    """Return a page of a list of sessions, with their metadata if asked for."""
    told = ({**listed(one), **({"metadata": one.header.metadata} if metadata else {})} for one in page.sessions)
    return {"sessions": list(told), "total": page.total, "next_cursor": page.next_cursor}


def detailed(summary: Summary, now: datetime) -> dict[str, Json]:
    """Return a session with all its facts."""
    from chatkeep.wire import answers  # noqa: PLC0415 - only for JSON

    age_seconds = answers.session_detail(summary, now).age_seconds
    return {**listed(summary), "metadata": summary.header.metadata, "age_seconds": age_seconds}


def search_facts(hits: Hits) -> dict[str, Json]:
    """Return the hits of a search."""
    import msgspec  # noqa: PLC0415 - only for JSON

    from chatkeep.wire.hits import hit_page  # noqa: PLC0415

    page = msgspec.to_builtins(hit_page(hits))
    found = [
        {"id": item.pop("id"), "key": hit.key, **item} for hit, item in zip(hits.hits, page["sessions"], strict=True)
    ]
    return {**page, "sessions": found}


def cut_facts(cuts: Cuts) -> dict[str, Json]:
    """Return the bytes cut off a file by repairs."""
    names = [f"quarantine/{name}" for name in cuts.names]
    return {"file": cuts.file, "key": cuts.key, "count": len(names), "names": names}
