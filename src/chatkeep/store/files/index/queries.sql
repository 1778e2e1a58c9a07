-- session: The row of a session, by the name of its file.
SELECT * FROM sessions WHERE name = :name;

-- problem: The reason why a name cannot be served.
SELECT reason FROM problems WHERE name = :name;

-- stamps: The stamps of all names in the index.
SELECT name, size, modified_ns, changed_ns, inode FROM sessions
UNION ALL
SELECT name, size, modified_ns, changed_ns, inode FROM problems;

-- sid: The sid of a session, by the name of its file.
SELECT sid FROM sessions WHERE name = :name;

-- stamp: The stamp of one name.
SELECT size, modified_ns, changed_ns, inode FROM sessions WHERE name = :name
UNION ALL
SELECT size, modified_ns, changed_ns, inode FROM problems WHERE name = :name;

-- problems: The reasons of all names that cannot be served, and of all read-only sessions.
SELECT name, reason FROM problems
UNION ALL
SELECT name, damage FROM sessions WHERE damage IS NOT NULL
ORDER BY 1;

-- damaged: The reasons of all read-only sessions under a prefix.
SELECT name, damage FROM sessions WHERE damage IS NOT NULL AND key >= :first AND (:after IS NULL OR key < :after)
ORDER BY 1;

-- newest: The spots of a session's newest messages before a seq, newest first, with the stamp of the file.
SELECT m.seq, s.body + m.start, m.size, s.size, s.modified_ns, s.changed_ns, s.inode
FROM sessions s CROSS JOIN runs r ON r.sid = s.sid AND r.seq < :before
  AND r.seq >= coalesce((SELECT max(seq) FROM runs WHERE sid = s.sid AND seq <= :after + 1), 0)
CROSS JOIN messages m ON m.doc
  BETWEEN r.doc + max(0, :after + 1 - r.seq) AND r.doc + min(r.message_count, :before - r.seq) - 1
WHERE s.name = :name
ORDER BY r.seq DESC, m.doc DESC LIMIT :limit;

-- following: The spots of a session's messages after a seq, in order, with the stamp of the file.
SELECT m.seq, s.body + m.start, m.size, s.size, s.modified_ns, s.changed_ns, s.inode
FROM sessions s CROSS JOIN runs r ON r.sid = s.sid
  AND r.seq >= coalesce((SELECT max(seq) FROM runs WHERE sid = s.sid AND seq <= :after + 1), 0)
CROSS JOIN messages m ON m.doc BETWEEN r.doc + max(0, :after + 1 - r.seq) AND r.doc + r.message_count - 1
WHERE s.name = :name
ORDER BY r.seq, m.doc LIMIT :limit;

-- by_hash: The spots of a session's messages by one hash or several. Up to seq 32 by the runs: no index has these.
SELECT m.seq, s.body + m.start, m.size FROM sessions s CROSS JOIN runs r ON r.sid = s.sid AND r.seq <= 32
CROSS JOIN messages m ON m.doc BETWEEN r.doc AND r.doc + min(r.message_count, 33 - r.seq) - 1
WHERE s.name = :name AND m.hash {that}
UNION ALL
SELECT m.seq, s.body + m.start, m.size FROM messages m CROSS JOIN sessions s ON s.sid = m.sid
WHERE m.hash {that} AND m.seq > 32 AND s.name = :name;

-- next_doc: The number of the next document.
SELECT max(next_doc, (SELECT coalesce(max(doc), 0) + 1 FROM messages)) FROM marks;

-- keep_mark: Keep the number of the next document, so that no deletion makes it lower.
UPDATE marks SET next_doc = max(next_doc, (SELECT coalesce(max(doc), 0) + 1 FROM messages));

-- put_session: Add the row of a session and return its sid.
INSERT INTO sessions VALUES (
  NULL, :name, :key, :channel, :user_title, :created_at, :metadata, :archived, :pinned, :tags,
  :message_count, :talk_count, :auto_title, :title_hint, :preview, :preview_hint, :latest_at, :updated_at,
  :size, :modified_ns, :changed_ns, :inode, :body, :tail, :checksum, :damage
) RETURNING sid;

-- grow_session: Update the row of a session after an append.
UPDATE sessions SET
  message_count = :message_count, talk_count = :talk_count, auto_title = :auto_title, title_hint = :title_hint,
  preview = :preview, preview_hint = :preview_hint, latest_at = :latest_at, updated_at = :updated_at,
  size = :size, modified_ns = :modified_ns, changed_ns = :changed_ns, inode = :inode, tail = :tail,
  checksum = :checksum
WHERE name = :name;

-- revise_session: Update the row of a session to a new header.
UPDATE sessions SET
  user_title = :user_title, metadata = :metadata, archived = :archived, pinned = :pinned, tags = :tags,
  size = :size, modified_ns = :modified_ns, changed_ns = :changed_ns, inode = :inode, body = :body, tail = :tail
WHERE name = :name;

-- put_problem: Store the reason why a name cannot be served.
INSERT OR REPLACE INTO problems VALUES (:name, :reason, :size, :modified_ns, :changed_ns, :inode);

-- put_message: Add the place of a message.
INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- put_words: Add the words of a message to the full-text index.
INSERT INTO words (rowid, text) VALUES (?, ?);

-- put_run: Add a run of a session's messages.
INSERT INTO runs VALUES (?, ?, ?, ?);

-- runs: The runs of a session's messages, in order.
SELECT seq, doc, message_count FROM runs WHERE sid = :sid ORDER BY seq;

-- last_run: The last run of a session's messages.
SELECT seq, doc, message_count FROM runs WHERE sid = :sid ORDER BY seq DESC LIMIT 1;

-- grow_run: Add messages to a run.
UPDATE runs SET message_count = message_count + :more WHERE sid = :sid AND seq = :seq;

-- drop_messages: Delete the places of a range of documents.
DELETE FROM messages WHERE doc BETWEEN ?1 AND ?2;

-- drop_runs: Delete the runs of a session.
DELETE FROM runs WHERE sid = :sid;

-- drop_session: Delete the row of a session.
DELETE FROM sessions WHERE sid = :sid;

-- drop_problem: Delete the reason why a name cannot be served.
DELETE FROM problems WHERE name = :name;

-- put_change: Add a change of a session and return its number.
INSERT INTO changes VALUES (NULL, ?1, ?2, ?3, ?4) RETURNING number;

-- drop_changes: Delete the changes up to a number.
DELETE FROM changes WHERE number <= ?1;

-- changes: The changes after a number, each with its session's present row, NULL if it is deleted.
SELECT c.*, s.* FROM changes c LEFT JOIN listed s ON s.key = c.key
WHERE c.number > :after ORDER BY c.number LIMIT :limit;

-- last_seen: The last change in a range of numbers to a session under a prefix.
SELECT number FROM changes WHERE number > :floor AND number <= :behind AND substr(key, 1, length(:prefix)) = :prefix
ORDER BY number DESC LIMIT 1;

-- kept: The first and the last number of the stored changes; 1 and 0 without any.
SELECT coalesce((SELECT min(number) FROM changes), 1), coalesce((SELECT max(number) FROM changes), 0);

-- epoch: The secret of this database; numbers of changes are valid only with it.
SELECT secret FROM epoch;

-- identities: The identities of a session's messages, in order: hash of the id, role and time.
SELECT m.hash, m.role, m.at FROM runs r CROSS JOIN messages m ON m.doc BETWEEN r.doc AND r.doc + r.message_count - 1
WHERE r.sid = :sid ORDER BY r.seq, m.doc;

-- page: A page of sessions, latest activity first.
SELECT * FROM listed WHERE {where} ORDER BY updated_at DESC, key LIMIT :limit;

-- page_of_few: A page of few sessions, latest activity first. The unary `+` makes SQLite sort them, not walk an index.
SELECT * FROM listed WHERE {where} ORDER BY +updated_at DESC, +key LIMIT :limit;

-- keys: A page of keys, by code point.
SELECT key FROM sessions WHERE {where} ORDER BY key LIMIT :limit;

-- count: The number of sessions in a selection.
SELECT count(*) FROM sessions WHERE {where};

-- count_few: The number of keys with a prefix, up to a limit.
SELECT count(*) FROM (SELECT 1 FROM sessions WHERE key >= :first AND (:after IS NULL OR key < :after) LIMIT :few);

-- total: The number of sessions, by channel and by archived mark if given.
SELECT coalesce(sum(session_count), 0) FROM totals
WHERE (:archived IS NULL OR archived = :archived) AND (:channel IS NULL OR channel = :channel);

-- totals: Sessions, messages and bytes of each channel.
SELECT channel, sum(session_count), sum(message_count), sum(size) FROM totals GROUP BY channel
HAVING sum(session_count) > 0 ORDER BY channel;

-- totals_under: Sessions, messages and bytes of each channel, under a prefix.
SELECT channel, count(*), sum(message_count), sum(size) FROM sessions
WHERE key >= :first AND (:after IS NULL OR key < :after) GROUP BY channel ORDER BY channel;

-- sessions_in: Sessions of a selection up to a limit, with their message counts.
SELECT sid, message_count FROM sessions WHERE {where} LIMIT :limit;

-- candidates: Matching messages in a range of documents, last document first.
SELECT m.doc, m.sid, m.seq, m.at, m.size FROM words w CROSS JOIN messages m ON m.doc = w.rowid {sessions}
WHERE w.words MATCH :match AND w.rowid BETWEEN :low AND :high AND {where} ORDER BY w.rowid DESC;

-- last_of_others: The last document of a range outside some sessions, -1 without one.
SELECT coalesce((
  SELECT doc FROM messages WHERE doc BETWEEN :first AND :last AND sid NOT IN (SELECT value FROM json_each(:sids))
  ORDER BY doc DESC LIMIT 1
), -1);

-- docs: All matching documents, in one row of JSON.
SELECT '[' || coalesce(group_concat(rowid), '') || ']' FROM words WHERE words MATCH :match;

-- first_docs: The lowest matching documents, in order.
SELECT rowid FROM words WHERE words MATCH :match ORDER BY rowid LIMIT :most;

-- docs_of: The matching ones of some documents, in one row of JSON.
SELECT json_group_array(rowid) FROM words WHERE words MATCH :match AND rowid IN (SELECT value FROM json_each(:docs));

-- size_of: The size of the messages of some documents, in bytes.
SELECT coalesce(sum(size), 0) FROM messages WHERE doc IN (SELECT value FROM json_each(:docs));

-- docs_with_row: The ones of some documents with words side by side, in one row of JSON. The query asks for any
-- of the words: for all of them, FTS5 would look up a document by a scan to the next one with all.
SELECT json_group_array(rowid) FROM words
WHERE words MATCH :match AND rowid IN (SELECT value FROM json_each(:docs)) AND has_row(words);

-- messages_of: The messages of some documents, in one row of JSON.
SELECT json_group_array(json_array(m.doc, m.sid, m.seq, m.at, m.size))
FROM json_each(:docs) d CROSS JOIN messages m ON m.doc = d.value {sessions} WHERE {where};

-- counted: Matching messages by session, up to a limit of messages, and the phrases in some documents.
SELECT sid, count(*), json_group_object(doc, phrases) FILTER (WHERE phrases IS NOT NULL) FROM (
  SELECT m.sid, m.doc, CASE WHEN m.doc IN (SELECT value FROM json_each(:docs)) THEN phrases_of(w.words) END AS phrases
  FROM words w CROSS JOIN messages m ON m.doc = w.rowid WHERE w.words MATCH :match AND {where} LIMIT :limit
) GROUP BY sid;

-- zones: The zones with messages in a range of times, newest time first.
SELECT zone, newest FROM zones WHERE (:since IS NULL OR newest >= :since) AND (:until IS NULL OR oldest < :until)
ORDER BY newest DESC, zone DESC;

-- zone_bounds: The first and the last zone with messages in a range of times. SQLite reads the zones from each end.
SELECT
  (SELECT min(zone) FROM zones WHERE (:since IS NULL OR newest >= :since) AND (:until IS NULL OR oldest < :until)),
  (SELECT max(zone) FROM zones WHERE (:since IS NULL OR newest >= :since) AND (:until IS NULL OR oldest < :until));

-- newest_before: The newest time in a zone and in all lower ones.
SELECT newest_so_far FROM zones WHERE zone <= :zone ORDER BY zone DESC LIMIT 1;

-- newest_before_until: The newest time in a zone and in all lower ones, among zones with messages before a time.
SELECT max(newest) FROM zones WHERE zone <= :zone AND oldest < :until;

-- lying_in: The sessions with all their messages in a range of documents.
SELECT s.value FROM json_each(:sids) s
WHERE (SELECT doc FROM runs WHERE sid = s.value ORDER BY seq LIMIT 1) >= :first
  AND (SELECT doc + message_count - 1 FROM runs WHERE sid = s.value ORDER BY seq DESC LIMIT 1) <= :last;

-- keys_of: The keys of some sessions.
SELECT sid, key FROM sessions WHERE sid IN (SELECT value FROM json_each(:sids));

-- places: The messages of some documents, each with its session's row and its spot.
SELECT m.doc, s.*, m.seq, s.body + m.start, m.size
FROM json_each(:docs) d CROSS JOIN messages m ON m.doc = d.value CROSS JOIN sessions s ON s.sid = m.sid;

-- put_zone: Add a zone, or widen its times.
INSERT INTO zones VALUES (
  ?1, ?2, ?3, max(?3, coalesce((SELECT newest_so_far FROM zones WHERE zone < ?1 ORDER BY zone DESC LIMIT 1), ?3))
) ON CONFLICT DO UPDATE SET
  oldest = min(oldest, excluded.oldest),
  newest = max(newest, excluded.newest),
  newest_so_far = max(newest_so_far, excluded.newest_so_far);

-- put_term: Add a word without messages, with its stem if that differs.
INSERT INTO terms VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING;

-- fill_term: Add a word with its stem and its message count.
INSERT OR REPLACE INTO terms VALUES (?1, ?2, ?3);

-- count_term: Add to the message count of a word.
UPDATE terms SET message_count = message_count + ?1 WHERE word = ?2;

-- term: The message count of a word.
SELECT message_count FROM terms WHERE word = ?1;

-- forms: The words of one stem with their message counts, commonest first, in one row of JSON.
SELECT json_group_array(json_array(word, message_count)) FROM (
  SELECT word, message_count FROM terms WHERE stem = :stem OR word = :stem OR word = :word
  ORDER BY message_count DESC, word LIMIT :limit
);

-- begun: The words of a prefix with their message counts, except some, commonest first, in one row of JSON.
SELECT json_group_array(json_array(word, message_count)) FROM (
  SELECT word, message_count FROM terms WHERE word >= :first AND word < :after
    AND word NOT IN (SELECT value FROM json_each(:asked))
  ORDER BY message_count DESC, word LIMIT :limit
);

-- wasted: The number of all documents ever made, and the number of messages.
SELECT max(next_doc, (SELECT coalesce(max(doc), 0) + 1 FROM messages)) - 1, (SELECT coalesce(sum(message_count), 0) FROM totals) FROM marks;

-- message_count: The number of messages.
SELECT coalesce(sum(message_count), 0) FROM totals;

-- warm_up: Read the rows of the newest messages, of all sessions and all runs, so that they are in memory.
SELECT sum(size) FROM messages NOT INDEXED WHERE doc > (SELECT max(doc) FROM messages) - :most
UNION ALL SELECT sum(size) FROM sessions NOT INDEXED
UNION ALL SELECT sum(message_count) FROM runs;

-- created: Sessions created on each day; a day is its number since the year 1.
SELECT (created_at + 63839750400000000) / 86400000000, count(*) FROM sessions
WHERE created_at >= :since AND {where} GROUP BY 1;

-- said: Messages sent on each day, in ranges of documents.
SELECT (m.at + 63839750400000000) / 86400000000, count(*)
FROM json_each(:ranges) r CROSS JOIN messages m ON m.doc BETWEEN r.value ->> 0 AND r.value ->> 1
WHERE m.at >= :since AND (:everywhere OR +m.sid IN (SELECT sid FROM sessions WHERE {where})) GROUP BY 1;

-- said_under: Messages sent on each day, under a prefix.
SELECT (m.at + 63839750400000000) / 86400000000, count(*) FROM sessions s CROSS JOIN runs r ON r.sid = s.sid
CROSS JOIN messages m ON m.doc BETWEEN r.doc AND r.doc + r.message_count - 1
WHERE s.key >= :first AND (:after IS NULL OR s.key < :after) AND m.at >= :since GROUP BY 1;

-- said_between: The number of messages in each range of documents.
SELECT r.key, (
  SELECT count(*) FROM messages m WHERE m.doc BETWEEN r.value ->> 0 AND r.value ->> 1
    AND (:everywhere OR +m.sid IN (SELECT sid FROM sessions WHERE {where}))
) FROM json_each(:ranges) r;

-- zones_since: The earliest and the latest time of each zone, in order, from a time on.
SELECT zone, oldest, newest FROM zones WHERE newest >= :since ORDER BY zone;

-- tags: The commonest tags, with the number of sessions of each.
SELECT t.value, count(DISTINCT s.sid) FROM (SELECT sid, tags FROM sessions WHERE tags <> '[]' AND {where}) s,
  json_each(s.tags) t
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :limit;

-- most: The sessions with the highest values of a column.
SELECT * FROM listed WHERE sid IN (SELECT sid FROM sessions WHERE {where} ORDER BY {column} DESC, key LIMIT :limit)
ORDER BY {column} DESC, key;

-- totals_where: Sessions, messages and bytes of each channel, in a selection.
SELECT channel, count(*), sum(message_count), sum(size) FROM sessions WHERE {where} GROUP BY channel;

-- join_parts: Merge segments of the full-text index, up to a number of written pages.
INSERT INTO words (words, rank) VALUES ('merge', ?1);
