-- The index over the session files. Nothing is born here: all of it can be made again from the files.
--
-- A change of this file, of the queries' meaning or of what is put in makes another index version
-- (see index.py): the old one is thrown away and built anew, never migrated.
--
-- Times are microseconds since 2024. `name` is the file's name in sessions/.

-- One row per session that can be served. The second group is folded from its messages, the third
-- tells which state of the file the row describes. `body` is where the messages begin in the file,
-- `tail` where its trailer is, `checksum` is that of the bytes between. `damage` says why the session is
-- read-only, NULL for a whole one.
CREATE TABLE sessions (
  sid INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  key TEXT NOT NULL UNIQUE,
  channel TEXT NOT NULL,
  user_title TEXT,
  created_at INTEGER NOT NULL,
  metadata TEXT NOT NULL,
  archived INTEGER NOT NULL,
  pinned INTEGER NOT NULL,
  tags TEXT NOT NULL,
  held INTEGER NOT NULL,

  line_count INTEGER NOT NULL,
  message_count INTEGER NOT NULL,
  talk_count INTEGER NOT NULL,
  auto_title TEXT,
  title_hint TEXT NOT NULL,
  title_seq INTEGER NOT NULL,
  preview TEXT NOT NULL,
  preview_hint TEXT NOT NULL,
  preview_seq INTEGER NOT NULL,
  latest_at INTEGER,
  updated_at INTEGER NOT NULL,

  size INTEGER NOT NULL,
  modified_ns INTEGER NOT NULL,
  changed_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  body INTEGER NOT NULL,
  tail INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  damage TEXT
);

-- The sessions as a list shows them: without their metadata, which can be long. Of it only the title that the
-- model made is looked at, by the rule of `core.model.title_of`.
CREATE VIEW listed AS SELECT
  sid, name, key, channel, user_title, created_at, '{}' AS metadata, archived, pinned, tags, held,
  line_count, message_count, talk_count,
  CASE
    WHEN instr(metadata, '"model_title"') AND json_valid(metadata)
      AND json_type(metadata, '$.model_title') = 'text'
      AND length(json_extract(metadata, '$.model_title')) BETWEEN 1 AND 200
    THEN json_extract(metadata, '$.model_title') ELSE auto_title
  END AS auto_title,
  title_hint, title_seq, preview, preview_hint, preview_seq, latest_at, updated_at,
  size, modified_ns, changed_ns, inode, body, tail, checksum, damage
FROM sessions;

-- Names in the folder that cannot be served, and why. A name that is no file has only zeros.
CREATE TABLE problems (
  name TEXT PRIMARY KEY,
  reason TEXT NOT NULL,
  size INTEGER NOT NULL,
  modified_ns INTEGER NOT NULL,
  changed_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL
) WITHOUT ROWID;

-- Where each message is: its JSON begins `start` bytes after the session's `body` and has `size`
-- bytes. `hash` stands for key and id. `doc` is its number in every set; later messages of a session have higher ones.
-- `role` is 0 for the user and 1 for the assistant, which take no room, and more for the others.
CREATE TABLE messages (
  doc INTEGER PRIMARY KEY,
  sid INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  start INTEGER NOT NULL,
  size INTEGER NOT NULL,
  hash INTEGER NOT NULL,
  role INTEGER NOT NULL,
  at INTEGER NOT NULL
);

-- The lines of a session that are no messages: events, and what was dropped. An event that stands has a row in
-- `messages` too, under its `doc`, so that a search for it finds it; a dropped line has none, nor has a
-- line that only drops others.
CREATE TABLE asides (
  sid INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  start INTEGER NOT NULL,
  size INTEGER NOT NULL,
  hash INTEGER NOT NULL,
  role INTEGER NOT NULL,
  at INTEGER NOT NULL,
  doc INTEGER,
  PRIMARY KEY (sid, seq)
) WITHOUT ROWID;
CREATE INDEX asides_by_hash ON asides (hash);

-- Which documents a session's messages are, besides events: runs that follow each other by seq and by document.
CREATE TABLE runs (
  sid INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  doc INTEGER NOT NULL,
  message_count INTEGER NOT NULL,
  PRIMARY KEY (sid, seq)
) WITHOUT ROWID;

-- The documents with the names of sessions: title, key and tags. They are in no other table but those of the sets.
CREATE TABLE names (
  doc INTEGER PRIMARY KEY,
  sid INTEGER NOT NULL UNIQUE,
  at INTEGER NOT NULL,
  size INTEGER NOT NULL
);

-- For each label and each block of 65,536 documents, those of its documents that are in the block (see
-- sets/containers.py). Nothing is ever taken out (see `gone`), but by an erasure a label without documents. `place` is the block * 2^40 + the number of the label.
CREATE TABLE postings (
  place INTEGER PRIMARY KEY,
  docs BLOB NOT NULL
);

-- The blocks that have rows.
CREATE TABLE blocks (
  block INTEGER PRIMARY KEY
);

-- The labels with text: words, stems, beginnings, channels and parts of keys (see sets/terms.py). `docs` is the number
-- of a label's rows, or a blob of its documents while these are few (see sets/lexicon.py).
CREATE TABLE lexicon (
  label TEXT PRIMARY KEY,
  docs NOT NULL
) WITHOUT ROWID;

-- The labels of the messages that are not in `postings` yet; of a document up to `marks.sealed`, they are. Those of a
-- long message stand in `long_texts`, put there in a transaction of its own before that of the append.
CREATE TABLE fresh (
  doc INTEGER PRIMARY KEY,
  texts TEXT,
  pairs BLOB,
  long INTEGER
);
CREATE INDEX fresh_long ON fresh (long) WHERE long IS NOT NULL;

-- `number` is random, so that no other index has the same. A row of an earlier `generation` that no message refers to
-- belongs to an append that never came.
CREATE TABLE long_texts (
  number INTEGER PRIMARY KEY,
  generation INTEGER NOT NULL,
  texts TEXT NOT NULL,
  pairs BLOB NOT NULL
);

-- Ranges of documents that have left every set. Their numbers are not given again.
CREATE TABLE gone (
  number INTEGER PRIMARY KEY,
  doc INTEGER NOT NULL,
  message_count INTEGER NOT NULL
);

-- The lowest number that a new document may have, whatever is in `messages`; the last document that `postings` has
-- with all those before it; the number of the next label with text; the number of sealings; and the number of
-- erasures, begun and ended: until the numbers are the same, unused bytes of the database may hold erased words.
CREATE TABLE marks (
  next_doc INTEGER NOT NULL,
  sealed INTEGER NOT NULL,
  next_label INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  erasures INTEGER NOT NULL,
  scrubbed INTEGER NOT NULL
);
INSERT INTO marks VALUES (1, 0, 65536, 0, 0, 0);

-- The times of the messages whose `doc` is in [256 * zone, 256 * zone + 255]: statistics count a zone at once where
-- these are of one day.
CREATE TABLE zones (
  zone INTEGER PRIMARY KEY,
  oldest INTEGER NOT NULL,
  newest INTEGER NOT NULL
);

-- The answers of models, dropped ones too (see core/usage): the day, as a number since the year 1, the tokens, and the
-- cost in US dollars as the server told it. A number not told is NULL; without `input`, none is told.
CREATE TABLE calls (
  sid INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  day INTEGER NOT NULL,
  model INTEGER NOT NULL,
  input INTEGER,
  output INTEGER,
  cached INTEGER,
  cache_write INTEGER,
  reasoning INTEGER,
  cost REAL,
  PRIMARY KEY (sid, seq)
) WITHOUT ROWID;

-- The names of the models, empty for answers that name none.
CREATE TABLE models (
  model INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);

-- The sessions that name a blob in a line, a dropped one too. `hash` is its SHA-256.
CREATE TABLE blobs (
  hash BLOB NOT NULL,
  sid INTEGER NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY (hash, sid)
) WITHOUT ROWID;
CREATE INDEX blobs_by_session ON blobs (sid);

-- What happened to the sessions since the database was made, in the order of the commits; the oldest are
-- dropped. Not filled by a build. The numbers mean something only together with the secret (see feed.py).
CREATE TABLE changes (
  number INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  first_seq INTEGER,
  last_seq INTEGER,
  drops TEXT
);
CREATE TABLE epoch (
  secret BLOB NOT NULL
);
INSERT INTO epoch VALUES (randomblob(32));

-- Counts, kept by the triggers below, so that a total costs nothing.
CREATE TABLE totals (
  channel TEXT NOT NULL,
  archived INTEGER NOT NULL,
  session_count INTEGER NOT NULL,
  message_count INTEGER NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY (channel, archived)
) WITHOUT ROWID;

CREATE TRIGGER sessions_inserted AFTER INSERT ON sessions BEGIN
  INSERT INTO totals VALUES (new.channel, new.archived, 1, new.message_count, new.size)
  ON CONFLICT DO UPDATE SET
    session_count = session_count + 1,
    message_count = message_count + excluded.message_count,
    size = size + excluded.size;
END;

CREATE TRIGGER sessions_deleted AFTER DELETE ON sessions BEGIN
  UPDATE totals SET
    session_count = session_count - 1,
    message_count = message_count - old.message_count,
    size = size - old.size
  WHERE channel = old.channel AND archived = old.archived;
END;

CREATE TRIGGER sessions_grown AFTER UPDATE OF message_count, size ON sessions BEGIN
  UPDATE totals SET
    message_count = message_count + new.message_count - old.message_count,
    size = size + new.size - old.size
  WHERE channel = old.channel AND archived = old.archived;
END;

CREATE TRIGGER sessions_moved AFTER UPDATE OF archived, channel ON sessions
WHEN new.archived <> old.archived OR new.channel <> old.channel BEGIN
  UPDATE totals SET
    session_count = session_count - 1,
    message_count = message_count - new.message_count,
    size = size - new.size
  WHERE channel = old.channel AND archived = old.archived;
  INSERT INTO totals VALUES (new.channel, new.archived, 1, new.message_count, new.size)
  ON CONFLICT DO UPDATE SET
    session_count = session_count + 1,
    message_count = message_count + excluded.message_count,
    size = size + excluded.size;
END;
