-- session: What the index knows of one file.
SELECT * FROM sessions WHERE name = :name;

-- problem: Why a name cannot be served.
SELECT reason FROM problems WHERE name = :name;

-- stamps: Every name the index knows, with the state of the file that it describes.
SELECT name, size, modified_ns, changed_ns, inode FROM sessions
UNION ALL
SELECT name, size, modified_ns, changed_ns, inode FROM problems;

-- sid: A session's row, by its file's name.
SELECT sid FROM sessions WHERE name = :name;

-- stamp: The state of one file that the index describes.
SELECT size, modified_ns, changed_ns, inode FROM sessions WHERE name = :name
UNION ALL
SELECT size, modified_ns, changed_ns, inode FROM problems WHERE name = :name;

-- problems: Every name that cannot be served, every session that is read-only, and why.
SELECT name, reason FROM problems
UNION ALL
SELECT name, damage FROM sessions WHERE damage IS NOT NULL
ORDER BY 1;

-- damaged: Every session under a prefix that is read-only, and why.
SELECT name, damage FROM sessions WHERE damage IS NOT NULL AND key >= :first AND (:after IS NULL OR key < :after)
ORDER BY 1;

-- newest: Where in its file a session's newest messages before a seq are.
SELECT m.seq, s.body + m.start, m.size FROM sessions s CROSS JOIN messages m ON m.sid = s.sid
WHERE s.name = :name AND m.seq < :before AND m.seq > :after
ORDER BY m.seq DESC LIMIT :limit;

-- following: Where in its file a session's messages after a seq are.
SELECT m.seq, s.body + m.start, m.size FROM sessions s CROSS JOIN messages m ON m.sid = s.sid
WHERE s.name = :name AND m.seq > :after
ORDER BY m.seq LIMIT :limit;

-- by_hash: Where in its file a session's messages with this hash are.
SELECT m.seq, s.body + m.start, m.size FROM messages m CROSS JOIN sessions s ON s.sid = m.sid
WHERE m.hash = :hash AND s.name = :name;

-- last_doc: The highest row in `words`.
SELECT coalesce(max(doc), 0) FROM messages;

-- put_session: Add a session's row and return its sid.
INSERT INTO sessions VALUES (
  NULL, :name, :key, :channel, :user_title, :created_at, :metadata, :archived, :pinned, :tags,
  :message_count, :talk_count, :auto_title, :preview, :latest_at, :updated_at,
  :size, :modified_ns, :changed_ns, :inode, :body, :tail, :damage
) RETURNING sid;

-- grow_session: Bring a session's row up to an append.
UPDATE sessions SET
  message_count = :message_count, talk_count = :talk_count, auto_title = :auto_title, preview = :preview,
  latest_at = :latest_at, updated_at = :updated_at,
  size = :size, modified_ns = :modified_ns, changed_ns = :changed_ns, inode = :inode, tail = :tail
WHERE name = :name;

-- revise_session: Bring a session's row up to a new header.
UPDATE sessions SET
  user_title = :user_title, metadata = :metadata, archived = :archived, pinned = :pinned, tags = :tags,
  size = :size, modified_ns = :modified_ns, changed_ns = :changed_ns, inode = :inode, body = :body, tail = :tail
WHERE name = :name;

-- put_problem: Remember why a name cannot be served.
INSERT OR REPLACE INTO problems VALUES (:name, :reason, :size, :modified_ns, :changed_ns, :inode);

-- put_message: Add where a message is.
INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- put_words: Add the words of a message.
INSERT INTO words (rowid, text) VALUES (?, ?);

-- drop_words: Forget the words of a session's messages.
DELETE FROM words WHERE rowid IN (SELECT doc FROM messages WHERE sid = :sid);

-- drop_messages: Forget where a session's messages are.
DELETE FROM messages WHERE sid = :sid;

-- drop_session: Forget a session's row.
DELETE FROM sessions WHERE sid = :sid;

-- drop_problem: Forget why a name cannot be served.
DELETE FROM problems WHERE name = :name;

-- page: Sessions by latest activity.
SELECT * FROM listed WHERE {where} ORDER BY updated_at DESC, key LIMIT :limit;

-- page_of_few: The same, where the prefix leaves few: those are looked at and sorted.
SELECT * FROM listed WHERE {where} ORDER BY +updated_at DESC, +key LIMIT :limit;

-- keys: Keys by code point.
SELECT key FROM sessions WHERE {where} ORDER BY key LIMIT :limit;

-- count: How many sessions match.
SELECT count(*) FROM sessions WHERE {where};

-- count_few: How many keys have a prefix, counted up to a limit.
SELECT count(*) FROM (SELECT 1 FROM sessions WHERE key >= :first AND (:after IS NULL OR key < :after) LIMIT :few);

-- total: How many sessions there are.
SELECT coalesce(sum(session_count), 0) FROM totals
WHERE (:archived IS NULL OR archived = :archived) AND (:channel IS NULL OR channel = :channel);

-- totals: Sessions, messages and bytes of each channel.
SELECT channel, sum(session_count), sum(message_count), sum(size) FROM totals GROUP BY channel
HAVING sum(session_count) > 0 ORDER BY channel;

-- totals_under: Sessions, messages and bytes of each channel under a prefix.
SELECT channel, count(*), sum(message_count), sum(size) FROM sessions
WHERE key >= :first AND (:after IS NULL OR key < :after) GROUP BY channel ORDER BY channel;

-- find_sessions: The best message of each session that matches, best session first.
WITH found AS MATERIALIZED (
  SELECT rowid AS doc, CASE :sort WHEN 'recent' THEN 0 ELSE bm25(words) END AS rank FROM words WHERE words MATCH :match
  {bound}
), kept AS MATERIALIZED (
  SELECT m.sid, m.seq, m.start, m.size, m.at, CASE :sort WHEN 'recent' THEN -m.at ELSE f.rank END AS rank
  FROM found f CROSS JOIN messages m ON m.doc = f.doc CROSS JOIN sessions s ON s.sid = m.sid
  WHERE {where}
), best AS (
  SELECT k.sid, min(k.rank) AS rank, count(*) AS match_count, max(k.at) AS at, s.key AS key
  FROM kept k JOIN sessions s ON s.sid = k.sid
  GROUP BY k.sid ORDER BY rank, at DESC, key LIMIT :limit
)
SELECT s.*, max(k.seq), s.body + k.start, k.size, b.match_count
FROM best b JOIN kept k ON k.sid = b.sid AND k.rank = b.rank JOIN sessions s ON s.sid = b.sid
GROUP BY b.sid ORDER BY b.rank, b.at DESC, b.key;

-- find_messages: The messages that match, best first.
WITH found AS MATERIALIZED (
  SELECT rowid AS doc, CASE :sort WHEN 'recent' THEN 0 ELSE bm25(words) END AS rank FROM words WHERE words MATCH :match
  {bound}
), kept AS MATERIALIZED (
  SELECT m.sid, m.seq, m.start, m.size, m.at, CASE :sort WHEN 'recent' THEN -m.at ELSE f.rank END AS rank
  FROM found f CROSS JOIN messages m ON m.doc = f.doc CROSS JOIN sessions s ON s.sid = m.sid
  WHERE {where}
), counts AS (
  SELECT sid, count(*) AS match_count FROM kept GROUP BY sid
)
SELECT s.*, k.seq, s.body + k.start, k.size, c.match_count
FROM kept k JOIN counts c ON c.sid = k.sid JOIN sessions s ON s.sid = k.sid
ORDER BY k.rank, k.at DESC, s.key, k.seq DESC LIMIT :limit;
