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
SELECT m.seq, s.body + m.start, m.size, s.size, s.modified_ns, s.changed_ns, s.inode
FROM sessions s CROSS JOIN runs r ON r.sid = s.sid AND r.seq < :before
  AND r.seq >= coalesce((SELECT max(seq) FROM runs WHERE sid = s.sid AND seq <= :after + 1), 0)
CROSS JOIN messages m ON m.doc
  BETWEEN r.doc + max(0, :after + 1 - r.seq) AND r.doc + min(r.message_count, :before - r.seq) - 1
WHERE s.name = :name
ORDER BY r.seq DESC, m.doc DESC LIMIT :limit;

-- following: Where in its file a session's messages after a seq are.
SELECT m.seq, s.body + m.start, m.size, s.size, s.modified_ns, s.changed_ns, s.inode
FROM sessions s CROSS JOIN runs r ON r.sid = s.sid
  AND r.seq >= coalesce((SELECT max(seq) FROM runs WHERE sid = s.sid AND seq <= :after + 1), 0)
CROSS JOIN messages m ON m.doc BETWEEN r.doc + max(0, :after + 1 - r.seq) AND r.doc + r.message_count - 1
WHERE s.name = :name
ORDER BY r.seq, m.doc LIMIT :limit;

-- by_hash: Where in its file a session's messages with a hash, or with some, are.
SELECT m.seq, s.body + m.start, m.size FROM sessions s CROSS JOIN runs r ON r.sid = s.sid AND r.seq <= 32
CROSS JOIN messages m ON m.doc BETWEEN r.doc AND r.doc + min(r.message_count, 33 - r.seq) - 1
WHERE s.name = :name AND m.hash {that}
UNION ALL
SELECT m.seq, s.body + m.start, m.size FROM messages m CROSS JOIN sessions s ON s.sid = m.sid
WHERE m.hash {that} AND m.seq > 32 AND s.name = :name;

-- next_doc: The number of the next document.
SELECT max(next_doc, (SELECT coalesce(max(doc), 0) + 1 FROM messages)) FROM marks;

-- keep_mark: See to it that no number of a document is given again.
UPDATE marks SET next_doc = max(next_doc, (SELECT coalesce(max(doc), 0) + 1 FROM messages));

-- put_session: Add a session's row and return its sid.
INSERT INTO sessions VALUES (
  NULL, :name, :key, :channel, :user_title, :created_at, :metadata, :archived, :pinned, :tags,
  :message_count, :talk_count, :auto_title, :title_hint, :preview, :preview_hint, :latest_at, :updated_at,
  :size, :modified_ns, :changed_ns, :inode, :body, :tail, :checksum, :damage
) RETURNING sid;

-- grow_session: Bring a session's row up to an append.
UPDATE sessions SET
  message_count = :message_count, talk_count = :talk_count, auto_title = :auto_title, title_hint = :title_hint,
  preview = :preview, preview_hint = :preview_hint, latest_at = :latest_at, updated_at = :updated_at,
  size = :size, modified_ns = :modified_ns, changed_ns = :changed_ns, inode = :inode, tail = :tail,
  checksum = :checksum
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

-- put_run: Add a run of a session's messages.
INSERT INTO runs VALUES (?, ?, ?, ?);

-- runs: Which documents a session's messages are, in their order.
SELECT seq, doc, message_count FROM runs WHERE sid = :sid ORDER BY seq;

-- last_run: The last run of a session's messages.
SELECT seq, doc, message_count FROM runs WHERE sid = :sid ORDER BY seq DESC LIMIT 1;

-- grow_run: Add messages to a run.
UPDATE runs SET message_count = message_count + :more WHERE sid = :sid AND seq = :seq;

-- drop_messages: Forget where some documents are.
DELETE FROM messages WHERE doc BETWEEN ?1 AND ?2;

-- drop_runs: Forget which documents a session's messages are.
DELETE FROM runs WHERE sid = :sid;

-- drop_session: Forget a session's row.
DELETE FROM sessions WHERE sid = :sid;

-- drop_problem: Forget why a name cannot be served.
DELETE FROM problems WHERE name = :name;

-- put_change: Note what happened to a session and return its number.
INSERT INTO changes VALUES (NULL, ?1, ?2, ?3, ?4) RETURNING number;

-- drop_changes: Forget what happened long ago.
DELETE FROM changes WHERE number <= ?1;

-- changes: What happened after a number, and the sessions as they are now.
SELECT c.*, s.* FROM changes c LEFT JOIN listed s ON s.key = c.key
WHERE c.number > :after ORDER BY c.number LIMIT :limit;

-- last_seen: The last change after a number to a session whose key begins with a prefix.
SELECT number FROM changes WHERE number > :floor AND number <= :behind AND substr(key, 1, length(:prefix)) = :prefix
ORDER BY number DESC LIMIT 1;

-- kept: The first and the last number of what is remembered.
SELECT coalesce((SELECT min(number) FROM changes), 1), coalesce((SELECT max(number) FROM changes), 0);

-- epoch: What the numbers mean something together with.
SELECT secret FROM epoch;

-- identities: By what a session's messages are known again, in their order.
SELECT m.hash, m.role, m.at FROM runs r CROSS JOIN messages m ON m.doc BETWEEN r.doc AND r.doc + r.message_count - 1
WHERE r.sid = :sid ORDER BY r.seq, m.doc;

-- page: Sessions by latest activity.
SELECT * FROM listed WHERE {where} ORDER BY updated_at DESC, key LIMIT :limit;

-- page_of_few: The same, where the filters leave few: those are sorted.
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

-- sessions_in: Some sessions of a selection, and how many messages each has.
SELECT sid, message_count FROM sessions WHERE {where} LIMIT :limit;

-- candidates: Messages that match, of some documents, the last first.
SELECT m.doc, m.sid, m.seq, m.at, m.size FROM words w CROSS JOIN messages m ON m.doc = w.rowid {sessions}
WHERE w.words MATCH :match AND w.rowid BETWEEN :low AND :high AND {where} ORDER BY w.rowid DESC;

-- last_of_others: The last of some documents that is not of some sessions; of none, -1.
SELECT coalesce((
  SELECT doc FROM messages WHERE doc BETWEEN :first AND :last AND sid NOT IN (SELECT value FROM json_each(:sids))
  ORDER BY doc DESC LIMIT 1
), -1);

-- docs: All documents that match, in one row.
SELECT '[' || coalesce(group_concat(rowid), '') || ']' FROM words WHERE words MATCH :match;

-- first_docs: So many documents that match, the first ones first.
SELECT rowid FROM words WHERE words MATCH :match ORDER BY rowid LIMIT :most;

-- docs_of: Which of some documents match, in one row.
SELECT json_group_array(rowid) FROM words WHERE words MATCH :match AND rowid IN (SELECT value FROM json_each(:docs));

-- size_of: How many bytes the messages of some documents have.
SELECT coalesce(sum(size), 0) FROM messages WHERE doc IN (SELECT value FROM json_each(:docs));

-- docs_with_row: Which of some documents have words side by side, in one row. Any of the words is asked for: else
-- to look at a document is to go on to the next one that has all.
SELECT json_group_array(rowid) FROM words
WHERE words MATCH :match AND rowid IN (SELECT value FROM json_each(:docs)) AND has_row(words);

-- messages_of: The messages of some documents, in one row.
SELECT json_group_array(json_array(m.doc, m.sid, m.seq, m.at, m.size))
FROM json_each(:docs) d CROSS JOIN messages m ON m.doc = d.value {sessions} WHERE {where};

-- counted: How many messages of each session match, no more than a limit looked at; and what some documents have.
SELECT sid, count(*), json_group_object(doc, phrases) FILTER (WHERE phrases IS NOT NULL) FROM (
  SELECT m.sid, m.doc, CASE WHEN m.doc IN (SELECT value FROM json_each(:docs)) THEN phrases_of(w.words) END AS phrases
  FROM words w CROSS JOIN messages m ON m.doc = w.rowid WHERE w.words MATCH :match AND {where} LIMIT :limit
) GROUP BY sid;

-- zones: Where documents are by their times, latest first.
SELECT zone, newest FROM zones WHERE (:since IS NULL OR newest >= :since) AND (:until IS NULL OR oldest < :until)
ORDER BY newest DESC, zone DESC;

-- zone_bounds: The first and the last zone with messages of a time; each is found from its end.
SELECT
  (SELECT min(zone) FROM zones WHERE (:since IS NULL OR newest >= :since) AND (:until IS NULL OR oldest < :until)),
  (SELECT max(zone) FROM zones WHERE (:since IS NULL OR newest >= :since) AND (:until IS NULL OR oldest < :until));

-- newest_before: The newest time in a zone and in those before it.
SELECT newest_so_far FROM zones WHERE zone <= :zone ORDER BY zone DESC LIMIT 1;

-- newest_before_until: The same, of the zones with messages before a time.
SELECT max(newest) FROM zones WHERE zone <= :zone AND oldest < :until;

-- lying_in: Which sessions have all their messages among some documents.
SELECT s.value FROM json_each(:sids) s
WHERE (SELECT doc FROM runs WHERE sid = s.value ORDER BY seq LIMIT 1) >= :first
  AND (SELECT doc + message_count - 1 FROM runs WHERE sid = s.value ORDER BY seq DESC LIMIT 1) <= :last;

-- keys_of: The keys of some sessions.
SELECT sid, key FROM sessions WHERE sid IN (SELECT value FROM json_each(:sids));

-- places: The messages of some documents, each with its session's row and where in its file it is.
SELECT m.doc, s.*, m.seq, s.body + m.start, m.size
FROM json_each(:docs) d CROSS JOIN messages m ON m.doc = d.value CROSS JOIN sessions s ON s.sid = m.sid;

-- put_zone: Widen the times of a zone.
INSERT INTO zones VALUES (
  ?1, ?2, ?3, max(?3, coalesce((SELECT newest_so_far FROM zones WHERE zone < ?1 ORDER BY zone DESC LIMIT 1), ?3))
) ON CONFLICT DO UPDATE SET
  oldest = min(oldest, excluded.oldest),
  newest = max(newest, excluded.newest),
  newest_so_far = max(newest_so_far, excluded.newest_so_far);

-- put_term: Add a word, and its stem where that is another.
INSERT INTO terms VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING;

-- fill_term: Add a word with its count.
INSERT OR REPLACE INTO terms VALUES (?1, ?2, ?3);

-- count_term: Count messages that have a word.
UPDATE terms SET message_count = message_count + ?1 WHERE word = ?2;

-- term: In how many messages a word is.
SELECT message_count FROM terms WHERE word = ?1;

-- forms: Words of one stem, the commonest first, in one row.
SELECT json_group_array(json_array(word, message_count)) FROM (
  SELECT word, message_count FROM terms WHERE stem = :stem OR word = :stem OR word = :word
  ORDER BY message_count DESC, word LIMIT :limit
);

-- begun: Words that begin alike, but those that were asked for, the commonest first, in one row.
SELECT json_group_array(json_array(word, message_count)) FROM (
  SELECT word, message_count FROM terms WHERE word >= :first AND word < :after
    AND word NOT IN (SELECT value FROM json_each(:asked))
  ORDER BY message_count DESC, word LIMIT :limit
);

-- wasted: How many documents there ever were, and how many messages there are.
SELECT max(next_doc, (SELECT coalesce(max(doc), 0) + 1 FROM messages)) - 1, (SELECT coalesce(sum(message_count), 0) FROM totals) FROM marks;

-- message_count: How many messages there are.
SELECT coalesce(sum(message_count), 0) FROM totals;

-- warm_up: Look at so many of the newest messages and at all sessions, so that their rows are in memory.
SELECT sum(size) FROM messages NOT INDEXED WHERE doc > (SELECT max(doc) FROM messages) - :most
UNION ALL SELECT sum(size) FROM sessions NOT INDEXED
UNION ALL SELECT sum(message_count) FROM runs;

-- created: How many sessions were created on each day, by its number since the year 1.
SELECT (created_at + 63839750400000000) / 86400000000, count(*) FROM sessions
WHERE created_at >= :since AND {where} GROUP BY 1;

-- said: How many messages in ranges of documents were sent on each day.
SELECT (m.at + 63839750400000000) / 86400000000, count(*)
FROM json_each(:ranges) r CROSS JOIN messages m ON m.doc BETWEEN r.value ->> 0 AND r.value ->> 1
WHERE m.at >= :since AND (:everywhere OR +m.sid IN (SELECT sid FROM sessions WHERE {where})) GROUP BY 1;

-- said_under: How many messages under a prefix were sent on each day.
SELECT (m.at + 63839750400000000) / 86400000000, count(*) FROM sessions s CROSS JOIN runs r ON r.sid = s.sid
CROSS JOIN messages m ON m.doc BETWEEN r.doc AND r.doc + r.message_count - 1
WHERE s.key >= :first AND (:after IS NULL OR s.key < :after) AND m.at >= :since GROUP BY 1;

-- said_between: How many messages are in each range of documents.
SELECT r.key, (
  SELECT count(*) FROM messages m WHERE m.doc BETWEEN r.value ->> 0 AND r.value ->> 1
    AND (:everywhere OR +m.sid IN (SELECT sid FROM sessions WHERE {where}))
) FROM json_each(:ranges) r;

-- zones_since: Between which times the messages of each zone were sent.
SELECT zone, oldest, newest FROM zones WHERE newest >= :since ORDER BY zone;

-- tags: The commonest tags, and how many sessions have each.
SELECT t.value, count(DISTINCT s.sid) FROM (SELECT sid, tags FROM sessions WHERE tags <> '[]' AND {where}) s,
  json_each(s.tags) t
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :limit;

-- most: The sessions that have the most of something.
SELECT * FROM listed WHERE sid IN (SELECT sid FROM sessions WHERE {where} ORDER BY {column} DESC, key LIMIT :limit)
ORDER BY {column} DESC, key;

-- totals_where: Sessions, messages and bytes of each channel of some sessions.
SELECT channel, count(*), sum(message_count), sum(size) FROM sessions WHERE {where} GROUP BY channel;

-- join_parts: Join parts of the full-text index, writing no more than so many pages.
INSERT INTO words (words, rank) VALUES ('merge', ?1);
