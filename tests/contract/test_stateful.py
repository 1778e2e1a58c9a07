"""The files store is driven beside the reference, through everything that may happen to a workspace."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chatkeep.core.life.dropping import Chosen, Mark, forked
from chatkeep.core.model import Draft, Hits, Message, Revision, Selection, Session
from chatkeep.core.standing import Role, SeqRange
from chatkeep.core.stats import PeriodUnit
from chatkeep.errors import ChatkeepError, ConflictError
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from chatkeep.store.memory import MemoryStore
from chatkeep.store.protocol import Store
from chatkeep.testing import at, draft, search_for, session

EXAMPLES = int(os.environ.get("CHATKEEP_LIFE_EXAMPLES", "40"))
STEPS = int(os.environ.get("CHATKEEP_LIFE_STEPS", "25"))
EVERY = Selection(archived=None)
KEYS = ("a:b", "a/b", "telegram:1", "日本語")
WORDS = ("prime", "primes", "Straße", "東京タワー", "café", "हिन्दी", "quick brown fox", "🎉")
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool", "event")
QUERIES = (*WORDS, "STRASSE", "京", "prim", '"brown fox"', "quick zebra", "prime 東京 ")

keys = st.sampled_from(KEYS)
texts = st.lists(st.sampled_from(WORDS), max_size=4).map(" \n".join)
places = st.integers(1, 12)
ranges = st.lists(st.tuples(places, places).map(sorted).map(lambda ends: SeqRange(*ends)), min_size=1, max_size=3)
drafts = st.builds(
    draft,
    texts,
    st.integers(-3, 30),
    id=st.integers(0, 12).map("m{}".format),
    role=st.sampled_from(ROLES),
    metadata=st.sampled_from([None, {"a": 1.5}]),
    drops=st.one_of(st.none(), st.none(), ranges.map(tuple)),
)
batches = st.lists(drafts, min_size=1, max_size=4)
fresh_batches = st.lists(st.builds(draft, texts, st.integers(0, 30)), min_size=1, max_size=6)
choices = st.one_of(
    st.builds(Chosen, last=st.integers(1, 4)),
    st.builds(Chosen, seqs=st.tuples(places, places).map(sorted).map(lambda ends: SeqRange(*ends))),
    st.builds(Chosen, id=st.integers(0, 12).map("m{}".format)),
    st.just(Chosen(everything=True)),
)
revisions = st.builds(
    Revision,
    title=st.sampled_from([msgspec.UNSET, None, "Mine", "東" * 200]),
    archived=st.sampled_from([msgspec.UNSET, True, False]),
    pinned=st.sampled_from([msgspec.UNSET, True, False]),
    tags=st.sampled_from([msgspec.UNSET, (), ("x", "y")]),
    held=st.sampled_from([msgspec.UNSET, True, False]),
    metadata=st.sampled_from([msgspec.UNSET, {"a": None}, {"a": 1, "b": {"c": "x" * 5000}}]),
)


class FilesBesideMemory(RuleBasedStateMachine):
    """Whatever is done to both stores, or to the files of one and the same to the other, they answer alike."""

    def __init__(self) -> None:
        """Begin with two empty stores."""
        super().__init__()
        self.workspace = Path(tempfile.mkdtemp(prefix="chatkeep-"))
        self.model = MemoryStore()
        self.files = FilesStore.open(self.workspace, durability="none")
        self.copies: dict[str, tuple[bytes, Session]] = {}

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.files.close()
        shutil.rmtree(self.workspace)

    @rule(key=keys, batch=st.one_of(batches, fresh_batches), create=st.booleans())
    def append(self, key: str, batch: list[Draft], create: bool) -> None:  # noqa: FBT001 - drawn
        """Messages are appended; ids of few repeat often, with the same content or with other."""
        self.both(lambda store: store.append(key, batch, create=create))

    @rule(key=keys, batch=batches, expect_count=st.integers(0, 5))
    def append_expecting(self, key: str, batch: list[Draft], expect_count: int) -> None:
        """Messages are appended to a session that may have moved on."""
        self.both(lambda store: store.append(key, batch, channel="pager", expect_count=expect_count))

    @rule(key=keys)
    def append_again(self, key: str) -> None:
        """The last messages are sent again."""
        messages = self.messages(key)[-3:]
        again = [
            draft(each.content, 99, id=each.id, role=each.role, metadata=each.metadata, drops=each.drops)
            for each in messages
        ]
        if again:
            self.both(lambda store: store.append(key, again, expect_count=0))

    @rule(key=keys, back=st.integers(0, 3), count=st.integers(1, 4))
    def pop(self, key: str, back: int, count: int) -> None:
        """Some of the last lines are dropped, dropped ones and marks among them."""
        end = len(self.messages(key)) - back
        if end > 0:
            mark = draft("", 40, role="event", drops=(SeqRange(max(1, end - count + 1), end),))
            self.both(lambda store: store.append(key, [mark], expect_count=end + back))

    @rule(key=keys, text=texts)
    def clear(self, key: str, text: str) -> None:
        """Everything is dropped, by a message that begins anew."""
        if count := len(self.messages(key)):
            self.both(lambda store: store.append(key, [draft(text, 50, id=f"c{count}", drops=(SeqRange(1, count),))]))

    @rule(key=keys, revision=revisions)
    def revise(self, key: str, revision: Revision) -> None:
        """A header is changed."""
        self.both(lambda store: store.revise(key, revision))

    @rule(key=keys, lines=choices, mark=st.integers(0, 5).map("d{}".format))
    def drop(self, key: str, lines: Chosen, mark: str) -> None:
        """Lines are taken back, by marks that repeat."""
        self.both(lambda store: store.drop(key, lines, mark=Mark(id=mark, sent_at=at(60))))

    @rule(key=keys, batch=st.lists(st.builds(draft, texts, id=st.integers(0, 4).map("r{}".format)), max_size=3))
    def replace(self, key: str, batch: list[Draft]) -> None:
        """Everything is replaced."""
        mark = Mark(id=f"r{len(self.messages(key))}", sent_at=at(61))
        self.both(lambda store: store.replace(key, batch, mark=mark))

    @rule(key=keys, other=keys, seq=st.one_of(st.none(), st.integers(0, 6)))
    def fork(self, key: str, other: str, seq: int | None) -> None:
        """A session begins with what stands of another one."""
        self.both(lambda store: store.create(forked(store.read(key, log=True), seq, other, at(62))))

    @rule(some=st.lists(keys, min_size=1, max_size=2, unique=True))
    def compact(self, some: list[str]) -> None:
        """What was dropped is erased."""
        self.both(lambda store: store.compact(some))

    @rule(key=keys, to_trash=st.booleans())
    def delete(self, key: str, to_trash: bool) -> None:  # noqa: FBT001 - drawn
        """A session is deleted, for good or to the trash."""
        self.both(lambda store: store.delete(key, to_trash=to_trash))

    @rule(key=keys)
    def restore(self, key: str) -> None:
        """A session comes back from the trash."""
        self.both(lambda store: store.restore(key))

    @rule(key=st.one_of(st.none(), keys))
    def purge(self, key: str | None) -> None:
        """The trash is emptied, or loses a key."""
        self.both(lambda store: [one.key for one in store.purge(keys=None if key is None else [key])])

    @rule(key=keys, batch=st.lists(drafts, max_size=5))
    def merge(self, key: str, batch: list[Draft]) -> None:
        """A session is taken in."""
        whole = session(key, batch, title="Theirs", channel="fax", metadata={"a": [1]})
        self.both(lambda store: store.merge(whole))

    @rule()
    def open_again(self) -> None:
        """The store is closed and opened."""
        self.outside(lambda: None)

    @rule()
    def lose_index(self) -> None:
        """The index is deleted."""

        def remove() -> None:
            for path in self.workspace.glob("index*"):
                path.unlink()

        self.outside(remove)

    @rule(cut=st.integers(0, 200_000))
    def cut_index(self, cut: int) -> None:
        """The index is cut off somewhere."""
        self.outside(lambda: self.spoil_index(lambda data: data[: cut % (len(data) + 1)]))

    @rule(place=st.integers(0, 200), junk=st.binary(min_size=16, max_size=64))
    def overwrite_index(self, place: int, junk: bytes) -> None:
        """The first page of the index is overwritten."""
        self.outside(lambda: self.spoil_index(lambda data: junk + data[len(junk) :] if place < len(data) else junk))

    @rule(key=keys, place=st.integers(0, 20), text=texts)
    def edit_text(self, key: str, place: int, text: str) -> None:
        """A message is edited in the file as a person would, everything around it left alone."""
        messages = self.messages(key)
        if messages:
            old = messages[place % len(messages)]
            self.outside(lambda: self.replace_content(key, old, text))
            self.put(key, _with_content(messages, old, text))

    @rule(key=keys, place=st.integers(0, 20), text=texts)
    def edit_json(self, key: str, place: int, text: str) -> None:
        """A message is edited by a program that writes the file anew in a layout of its own."""
        messages = self.messages(key)
        if messages:
            old = messages[place % len(messages)]

            def edit() -> None:
                document = json.loads(self.path(key).read_bytes())
                document["messages"][old.seq - 1]["content"] = text
                with self.path(key).open("w") as file:
                    json.dump(document, file, indent=2)

            self.outside(edit)
            self.put(key, _with_content(messages, old, text))

    @rule(key=keys)
    def remove_file(self, key: str) -> None:
        """A session is deleted by deleting its file."""
        self.outside(lambda: self.path(key).unlink(missing_ok=True))
        if self.exists(key):
            self.model.delete(key)

    @rule(key=keys)
    def copy_file(self, key: str) -> None:
        """A session is backed up by copying its file."""
        if self.exists(key):
            self.copies[key] = (self.path(key).read_bytes(), self.model.read(key, log=True))

    @rule(key=keys)
    def put_back_file(self, key: str) -> None:
        """A session is restored by putting the copy of its file back."""
        if key in self.copies:
            content, whole = self.copies[key]
            self.outside(lambda: self.path(key).write_bytes(content))
            if self.exists(key):
                self.model.delete(key)
            self.model.merge(whole)

    @rule(prefix=st.sampled_from(["", "a"]), unit=st.sampled_from(["month", "day"]))
    def count(self, prefix: str, unit: PeriodUnit) -> None:
        """What is counted is the same, but for the bytes."""
        expected, actual = (one.stats(prefix, unit=unit) for one in (self.model, self.files))
        for name in ("session_count", "message_count", "periods", "tags"):
            assert getattr(expected, name) == getattr(actual, name)
        assert [one.key for one in expected.longest] == [one.key for one in actual.longest]

    @invariant()
    def list_agrees(self) -> None:
        """Lists, keys and counts are the same."""
        for marked in (Selection(tags=("y",)), Selection(pinned=True, archived=None)):
            assert self.model.keys(marked) == self.files.keys(marked)
        for selection in (Selection(), EVERY, Selection(prefixes=("a",), archived=None)):
            for cursor in (None, self.model.list(selection, limit=2).next_cursor):
                assert self.model.list(selection, limit=2, cursor=cursor) == self.files.list(
                    selection, limit=2, cursor=cursor
                )
            assert self.model.keys(selection) == self.files.keys(selection)
        expected, actual = self.model.status(), self.files.status()
        assert (expected.session_count, expected.message_count, expected.channels, {}) == (
            actual.session_count,
            actual.message_count,
            actual.channels,
            actual.problems,
        )

    @invariant()
    def trash_agrees(self) -> None:
        """The trash has the same sessions in the same order."""
        assert [(one.key, one.title) for one in self.model.trash()] == [
            (one.key, one.title) for one in self.files.trash()
        ]

    @invariant()
    def read_agrees(self) -> None:
        """Sessions, summaries and windows are the same."""
        for key in KEYS:
            self.both(lambda store, key=key: store.get(key))  # type: ignore[misc]
            self.both(lambda store, key=key: store.read(key))  # type: ignore[misc]
            self.both(lambda store, key=key: store.read(key, log=True))  # type: ignore[misc]
            self.both(lambda store, key=key: store.window(key, limit=4, before=9, log=True))  # type: ignore[misc]
            self.both(lambda store, key=key: store.window(key, limit=4, after=2, log=True))  # type: ignore[misc]
            for bounds in ({}, {"before": 4}, {"after": 1}, {"before": 6, "after": 2}):
                self.both(lambda store, key=key, bounds=bounds: store.window(key, limit=3, **bounds))  # type: ignore[misc]

    @rule(query=st.sampled_from(QUERIES))
    def search_agrees(self, query: str) -> None:
        """The same is found."""
        assert found(self.model, query) == found(self.files, query)

    def both(self, act: Callable[[Store], object]) -> None:
        """Do the same to both stores, which answer alike or refuse alike."""
        assert outcome(act, self.model) == outcome(act, self.files)

    def outside(self, change: Callable[[], object]) -> None:
        """Change files while the store is closed."""
        self.files.close()
        change()
        self.files = FilesStore.open(self.workspace, durability="none")

    def spoil_index(self, spoilt: Callable[[bytes], bytes]) -> None:
        """Change the bytes of the index."""
        for path in self.workspace.glob("index*.sqlite3"):
            path.write_bytes(spoilt(path.read_bytes()))

    def replace_content(self, key: str, old: Message, text: str) -> None:
        """Replace the content of one message in the text of its file, whatever the layout."""
        before, _, after = self.path(key).read_text().partition(f'"messages":{_gap(self.path(key))}[')
        content = '"content":' + _gap(self.path(key))
        pieces = after.split(content)
        said = json.JSONDecoder().raw_decode(pieces[old.seq])[1]
        pieces[old.seq] = json.dumps(text) + pieces[old.seq][said:]
        self.path(key).write_text(f'{before}"messages":{_gap(self.path(key))}[{content.join(pieces)}')

    def path(self, key: str) -> Path:
        """Return the file of a session."""
        return self.workspace / "sessions" / file_name(key)

    def exists(self, key: str) -> bool:
        """Tell whether there should be such a session."""
        return key in self.model.keys(EVERY).keys

    def messages(self, key: str) -> tuple[Message, ...]:
        """Return the messages that there should be."""
        return self.model.read(key, log=True).messages if self.exists(key) else ()

    def put(self, key: str, messages: Sequence[Message]) -> None:
        """Make these the messages of the model's session."""
        header = self.model.read(key).header
        self.model.delete(key)
        self.model.merge(Session(header=header, messages=tuple(messages)))


def outcome(act: Callable[[Store], object], store: Store) -> object:
    """Return what a store answers, or how it refuses; which of two conflicts is met first is its own business."""
    try:
        return act(store)
    except ConflictError:
        return ConflictError
    except ChatkeepError as error:
        return type(error)


def found(store: Store, query: str) -> object:
    """Return what a search finds, without the order, which is a matter of taste."""
    by_message: Hits = store.search(search_for(query, unit="message", roles=None, limit=200))
    by_session = store.search(search_for(query))
    return (
        by_message.mode,
        sorted((hit.key, hit.seq, hit.message_id, hit.excerpt, hit.highlights) for hit in by_message.hits),
        by_session.mode,
        sorted((hit.key, hit.title, hit.updated_at, hit.match_count) for hit in by_session.hits),
    )


def _with_content(messages: Sequence[Message], old: Message, text: str) -> list[Message]:
    return [msgspec.structs.replace(each, content=text) if each.seq == old.seq else each for each in messages]


def _gap(path: Path) -> str:
    return " " if b'"messages": [' in path.read_bytes() else ""


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Yield a files store that serves one example after the other."""
    store = FilesStore.open(tmp_path_factory.mktemp("workspace"), durability="none")
    yield store
    store.close()


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.text(max_size=12), st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_search_any_text(indexed: Store, said: list[str], query: str, data: st.DataObject) -> None:
    """Whatever is said and whatever is asked for, an index finds what a look at every message finds."""
    query = data.draw(st.one_of(st.just(query), st.sampled_from(said), st.sampled_from("".join(said) or "x")))
    batch = [draft(text.replace("\0", ""), n, id=f"m{n}") for n, text in enumerate(said)]
    model = MemoryStore()
    for store in (model, indexed):
        store.append("a", batch)
    try:
        assert found(model, query) == found(indexed, query)
    finally:
        indexed.delete("a")


TestFilesBesideMemory = FilesBesideMemory.TestCase
TestFilesBesideMemory.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
