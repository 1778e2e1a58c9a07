"""The figures that documents quote from constants of the code: where each stands, and the constant it comes from."""

from __future__ import annotations

from typing import Final, NamedTuple

KIB: Final = 1 << 10
MIB: Final = 1 << 20
DAY: Final = 86_400


class Quote(NamedTuple):
    """A sentence with `#` in the place of its figure, and the constant, in units of `unit`."""

    document: str
    sentence: str
    module: str
    constant: str
    unit: float = 1


QUOTES: Final = (
    # how to use it
    Quote("reference/cli.md", "it shows the newest # messages", "cli.talk", "_SHOWN_MAX"),
    Quote("reference/cli.md", "the latest # periods", "cli.status", "_PERIODS"),
    Quote("reference/cli.md", "and the # commonest tags", "cli.status", "_TAGS"),
    Quote("reference/cli.md", "`place: reason`, the first # of them", "cli.transfer", "_SHOWN_FLAWS"),
    Quote("reference/python.md", "the client asks again, # times", "client.exchange", "RETRIES_MAX"),
    Quote("reference/python.md", "It waits # s, doubled each time", "client.exchange", "PAUSE_S"),
    Quote("reference/python.md", "says, up to # s. It repeats", "client.exchange", "_PAUSE_S_MAX"),
    Quote("reference/python.md", "following `Retry-After`; 0: fail at once | # |", "client.exchange", "LIMIT_WAIT_S"),
    Quote("reference/python.md", "a `chat` has ten minutes | # |", "client.sending", "TIMEOUT_S"),
    Quote("reference/page.md", "stays signed in for # days", "access.page_sessions", "LIFETIME", DAY),
    Quote("reference/settings.md", "bodies in flight, # MiB or more", "config", "BODY_MEMORY_MIN", MIB),
    Quote("reference/settings.md", "the model's server, up to #; connecting", "config", "TIMEOUT_MAX"),
    Quote("reference/settings.md", "connecting takes at most # |", "model.upstream", "CONNECT_WAIT_S"),
    Quote("reference/settings.md", "to the end of an answer, up to #:", "config", "ANSWER_TIMEOUT_MAX"),
    Quote("reference/settings.md", "a request without an answer, up to #", "config", "MODEL_RETRIES_MAX"),
    Quote("reference/settings.md", "Rates go up to #", "access.tokens", "RATE_MAX"),
    Quote("how-to/run-behind-a-proxy.md", "after at most # proxies", "http.gate.addresses", "_HOPS_MAX"),
    # the limits of requests
    Quote("reference/http.md", "| `page` | # |", "http.gate.guard", "RATE_PAGE"),
    Quote("reference/http.md", "buckets, for # seconds each", "http.gate.limits", "WINDOW_S"),
    Quote("reference/http.md", "| body | # MiB;", "core.bounds", "BODY_BYTES_MAX", MIB),
    Quote("reference/http.md", "a call of the model # MiB; within", "core.bounds", "LARGE_BODY_BYTES_MAX", MIB),
    Quote("reference/http.md", "MiB; within # s, not compressed", "http.gate.body", "BODY_WAIT_S"),
    Quote("reference/http.md", "| values in a body | #;", "core.bounds", "VALUES_MAX"),
    Quote("reference/http.md", "of it for bodies over # KiB", "http.gate.room", "SMALL_BYTES", KIB),
    Quote("reference/http.md", "each byte of a body counts as #,", "http.gate.room", "COST"),
    Quote("reference/http.md", "other bodies wait at most # s", "http.gate.room", "ROOM_WAIT_S"),
    Quote("reference/http.md", "| message | # MiB as JSON", "core.bounds", "MESSAGE_BYTES_MAX", MIB),
    Quote("reference/http.md", "its id and time, # levels of lists", "core.bounds", "DEPTH_MAX"),
    Quote("reference/http.md", "| messages in one append | 1 to # |", "core.bounds", "BATCH_MAX"),
    Quote("reference/http.md", "in place of all others | at most # |", "core.life.dropping", "REPLACED_MAX"),
    Quote("reference/http.md", "dropped by `last` | 1 to # |", "core.life.dropping", "LAST_MAX"),
    Quote("reference/http.md", "in a filter | at most #; names", "core.checks", "ENTRIES_MAX"),
    Quote("reference/http.md", "| ranges in `drops` | 1 to # |", "core.bounds", "DROPS_MAX"),
    Quote(
        "reference/http.md",
        "| metadata of a session, or of a message | # KiB",
        "core.bounds",
        "METADATA_BYTES_MAX",
        KIB,
    ),
    Quote("reference/http.md", "| key | 1 to # characters", "core.keys", "KEY_CHARS_MAX"),
    Quote("reference/http.md", "| title | 1 to # characters", "core.checks", "TITLE_CHARS_MAX"),
    Quote("reference/http.md", "`tool_call_id` | 1 to # characters", "core.checks", "NAME_CHARS_MAX"),
    Quote("reference/http.md", "| channel, tag | 1 to # characters", "core.keys", "CHANNEL_CHARS_MAX"),
    Quote("reference/http.md", "at most # tags |", "core.checks", "TAGS_MAX"),
    Quote("reference/http.md", "| `limit` | 1 to #,", "core.paging", "LIST_LIMIT_MAX"),
    Quote("reference/http.md", "in a search 1 to # |", "core.paging", "SEARCH_LIMIT_MAX"),
    Quote("reference/http.md", "| `q` | at most # characters", "core.search.query", "QUERY_CHARS_MAX"),
    Quote("reference/http.md", "characters, # terms |", "core.search.query", "TERMS_MAX"),
    Quote("reference/http.md", "| keys in a bulk deletion | # |", "wire.bodies", "BULK_KEYS_MAX"),
    Quote("reference/http.md", "| event streams | # with one token", "http.streams.followers", "STREAMS_PER_TOKEN"),
    Quote("reference/http.md", "one token, # from one address", "http.streams.followers", "STREAMS_PER_ADDRESS"),
    Quote("reference/http.md", "one address, # in all |", "http.streams.followers", "STREAMS_MAX"),
    Quote("reference/http.md", "| address | # KiB;", "http.gate.envelope", "URL_BYTES_MAX", KIB),
    Quote("reference/http.md", "the head of a request # KiB", "http.gate.connection", "HEAD_BYTES_MAX", KIB),
    Quote("reference/http.md", "KiB, within # s |", "http.gate.connection", "HEAD_WAIT_S"),
    # chat, recording, search, events
    Quote("reference/http.md", "a message has # more", "core.history.windows", "_FRAME_TOKENS"),
    Quote("reference/http.md", "a picture #.", "core.history.windows", "_IMAGE_TOKENS"),
    Quote("reference/http.md", "cut or left out, at most #.", "importers.reports", "ERRORS_MAX"),
    Quote("reference/http.md", "`message` has 1 to # characters", "wire.bodies", "CHAT_CHARS_MAX"),
    Quote("reference/http.md", "comment after # seconds of silence", "http.streams.responses", "BEAT_S"),
    Quote("reference/http.md", "that takes nothing for # seconds", "http.gate.connection", "READER_WAIT_S"),
    Quote("reference/http.md", "the server tries for # seconds to store", "model.endings", "BUSY_WAIT_S"),
    Quote("reference/http.md", "waits # seconds for answers in progress", "model.endings", "CLOSE_WAIT_S"),
    Quote("reference/http.md", "An answer has at most # characters", "model.upstream", "ANSWER_CHARS_MAX"),
    Quote("reference/http.md", "`OpenAI-...`), at most # of them", "http.streams.relay", "_TOLD_COUNT_MAX"),
    Quote("reference/http.md", "A key of fewer than # characters", "core.history.masking", "SECRET_CHARS_MIN"),
    Quote("reference/http.md", "delays it by # seconds at most", "http.streams.passage", "STORE_WAIT_S"),
    Quote("reference/http.md", "Of an answer of more than # MiB", "core.history.tape.tape", "ANSWER_BYTES_MAX", MIB),
    Quote("reference/http.md", "stores it in parts of # MiB", "model.recording", "_BATCH_BYTES", MIB),
    Quote("reference/http.md", "quotes the server: at most # characters", "core.text.quoting", "QUOTED_CHARS_MAX"),
    Quote("reference/http.md", "For two to # words without quotes", "core.search.query", "_VERBATIM_MAX"),
    Quote("reference/http.md", "the past # days", "core.stats", "DAYS_SHOWN"),
    Quote("reference/http.md", "`tags` are the # commonest", "core.stats", "TAGS_SHOWN"),
    Quote("reference/http.md", "`largest` are the # sessions", "core.stats", "LARGEST_SHOWN"),
    Quote("reference/http.md", "once in # changes of the store", "core.feed", "ROUND"),
    Quote("reference/http.md", "An id expires after # changes", "core.feed", "CHANGES_KEPT"),
    Quote("reference/store-contract.md", "the changes after it: at least #.", "core.feed", "CHANGES_KEPT"),
    # files and index
    Quote("reference/format.md", "the first # characters of the key's", "store.files.tree.tree", "_HASH_CHARS"),
    Quote("architecture.md", "for a round of # ms", "store.files.tree.outside", "_ROUND_MS"),
    Quote("architecture.md", "leaves it alone for # seconds", "store.files.upkeep.intake", "SETTLED_S"),
    Quote("architecture.md", "Answers of the model have # seconds", "model.endings", "CLOSE_WAIT_S"),
    Quote("durability.md", "a copy in progress (# seconds)", "store.files.upkeep.intake", "SETTLED_S"),
    Quote("durability.md", "from a leftover (# seconds)", "disk.locks", "_UNBORN_GRACE_S"),
    Quote("durability.md", "locks for more than # seconds", "store.files.index.databases", "_BUSY_S"),
    Quote("glossary.md", "| zone | # neighbouring", "store.files.index.rows", "ZONE_DOCS"),
    # decisions
    Quote("0001-", "an eighth, at most # KiB", "store.files.tree.format", "_RESERVE_MAX_BYTES", KIB),
    Quote("0001-", "in steps of # KiB", "store.files.tree.format", "RESERVE_STEP_BYTES", KIB),
    Quote("0002-", "they wait at most # seconds", "store.files.index.databases", "_BUSY_S"),
    Quote("0004-", "up to # outdated rows", "http.gate.limits", "_FORGET_AT_ONCE"),
    Quote("0006-", "# threads for reads", "threads", "READS_AT_ONCE"),
    Quote("0006-", "# for writes", "threads", "WRITES_AT_ONCE"),
    Quote("0006-", "# for searches", "threads", "SEARCHES_AT_ONCE"),
    Quote("0006-", "# for exports", "threads", "EXPORTS_AT_ONCE"),
    Quote("search.md", "for each # messages; afterwards", "store.sets.containers", "BLOCK"),
    Quote("search.md", "words into # codes", "store.sets.terms", "PAIR_CODES"),
    Quote("search.md", "| # intersections, and each", "store.sets.terms", "TIME_BITS"),
    Quote("search.md", "once more than # words", "store.files.index.sets.lexicon", "WORDS_MAX"),
    Quote("search.md", "Once # messages are fresh", "store.files.index.sets.sealing", "SEALED_FROM"),
    Quote("search.md", "fresh (# in a quiet moment)", "store.files.index.sets.sealing", "SEALED_QUIET_FROM"),
    Quote("0007-", "A limit below # only cuts", "core.search.search", "_WANTED_LEAST"),
    Quote("0007-", "caches up to # MB", "store.files.index.turns.reading_connections", "_FIRST_CACHE_KB", KIB),
    Quote("0008-", "until the answer is stored (# s at most)", "http.streams.passage", "STORE_WAIT_S"),
    Quote("0008-", "latest # in the index", "model.recording", "_OPENED_ALIKE"),
    Quote("0008-", "in the index and reads #.", "model.recording", "_COMPARED"),
    Quote("0009-", "The page may ask # times a minute", "http.gate.guard", "RATE_PAGE"),
    Quote("0013-", "checks for # MiB of room", "store.files.upkeep.upkeep", "_ROOM_BYTES", MIB),
    Quote("0013-", "up to each # s", "store.files.upkeep.upkeep", "_RETURN_MAX_S"),
    Quote("0014-", "after # days, with its token", "access.page_sessions", "LIFETIME", DAY),
    Quote("0014-", "its token has # newer ones", "access.page_sessions", "SESSIONS_PER_TOKEN"),
    Quote("0015-", "A body of an append above # KiB", "http.gate.rules", "SHORT_BYTES", KIB),
    Quote("0015-", "calls of the model of more than # KiB", "wire.bodies", "LARGE_BYTES", KIB),
    Quote("0015-", "for up to # s, because", "store.files.tree.outside", "_TELLING_S"),
)
