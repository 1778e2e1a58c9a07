-- session: The row of a session, by the name of its file.
SELECT * FROM sessions WHERE name = :name;

-- session_and_spots: The row of a session, and the spots of its lines by one hash or several, as JSON. Up to seq 32 by
-- the runs: no index has these.
SELECT s.*, (SELECT json_group_array(json_array(f.seq, f.start, f.size)) FROM (
  SELECT m.seq AS seq, s.body + m.start AS start, m.size AS size FROM runs r CROSS JOIN messages m
  ON m.doc BETWEEN r.doc AND r.doc + min(r.message_count, 33 - r.seq) - 1
  WHERE r.sid = s.sid AND r.seq <= 32 AND m.hash {that}
  UNION ALL
  SELECT seq, s.body + start, size FROM messages WHERE hash {that} AND seq > 32 AND sid = s.sid
  UNION ALL
  SELECT seq, s.body + start, size FROM asides WHERE hash {that} AND sid = s.sid
) f) FROM sessions s WHERE s.name = :name;

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
WHERE s.name = :name AND m.role < :roles
ORDER BY r.seq DESC, m.doc DESC LIMIT :limit;

-- following: The spots of a session's messages after a seq, in order, with the stamp of the file.
SELECT m.seq, s.body + m.start, m.size, s.size, s.modified_ns, s.changed_ns, s.inode
FROM sessions s CROSS JOIN runs r ON r.sid = s.sid
  AND r.seq >= coalesce((SELECT max(seq) FROM runs WHERE sid = s.sid AND seq <= :after + 1), 0)
CROSS JOIN messages m ON m.doc BETWEEN r.doc + max(0, :after + 1 - r.seq) AND r.doc + r.message_count - 1
WHERE s.name = :name AND m.role < :roles
ORDER BY r.seq, m.doc LIMIT :limit;

-- next_doc: The number of the next document.
SELECT max(next_doc, 1 + max((SELECT coalesce(max(doc), 0) FROM messages), (SELECT coalesce(max(doc), 0) FROM names))) FROM marks;

-- keep_mark: Keep the number of the next document, so that no deletion makes it lower.
UPDATE marks SET next_doc = max(
  next_doc, 1 + max((SELECT coalesce(max(doc), 0) FROM messages), (SELECT coalesce(max(doc), 0) FROM names))
);

-- put_session: Add the row of a session and return its sid.
INSERT INTO sessions VALUES (
  NULL, :name, :key, :channel, :user_title, :created_at, :metadata, :archived, :pinned, :tags, :held,
  :line_count, :message_count, :talk_count, :auto_title, :title_hint, :title_seq, :preview, :preview_hint, :preview_seq,
  :latest_at, :updated_at, :size, :modified_ns, :changed_ns, :inode, :body, :tail, :checksum, :damage
) RETURNING sid;

-- grow_session: Update the row of a session after an append, unless it describes another state by now; return its sid.
UPDATE sessions SET
  line_count = :line_count, message_count = :message_count, talk_count = :talk_count,
  auto_title = :auto_title, title_hint = :title_hint, title_seq = :title_seq,
  preview = :preview, preview_hint = :preview_hint, preview_seq = :preview_seq,
  latest_at = :latest_at, updated_at = :updated_at,
  size = :size, modified_ns = :modified_ns, changed_ns = :changed_ns, inode = :inode, tail = :tail,
  checksum = :checksum
WHERE name = :name AND size = :was_size AND modified_ns = :was_modified_ns AND changed_ns = :was_changed_ns
  AND inode = :was_inode
RETURNING sid, (
  SELECT max(next_doc, 1 + max((SELECT coalesce(max(doc), 0) FROM messages), (SELECT coalesce(max(doc), 0) FROM names)))
  FROM marks
);

-- revise_session: Update the row of a session to a new header.
UPDATE sessions SET
  user_title = :user_title, metadata = :metadata, archived = :archived, pinned = :pinned, tags = :tags, held = :held,
  size = :size, modified_ns = :modified_ns, changed_ns = :changed_ns, inode = :inode, body = :body, tail = :tail
WHERE name = :name;

-- put_problem: Store the reason why a name cannot be served.
INSERT OR REPLACE INTO problems VALUES (:name, :reason, :size, :modified_ns, :changed_ns, :inode);

-- put_message: Add the place of a message.
INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- put_names: Add the document with the names of a session.
INSERT INTO names VALUES (?, ?, ?, ?);

-- drop_names: Delete the document with the names of a session.
DELETE FROM names WHERE sid = ?1 RETURNING doc;

-- names_of: The documents with names among some documents, in one row of JSON.
SELECT json_group_array(json_array(n.doc, n.sid, 0, n.at, n.size))
FROM json_each(:docs) d CROSS JOIN names n ON n.doc = d.value;

-- rows_of_names: The sessions of some documents with names.
SELECT n.doc, s.* FROM json_each(:docs) d CROSS JOIN names n ON n.doc = d.value CROSS JOIN sessions s ON s.sid = n.sid;

-- spot_shown: The spot of the message with the title of a session, else of its first one.
SELECT m.seq, s.body + m.start, m.size FROM sessions s CROSS JOIN runs r ON r.sid = s.sid
CROSS JOIN messages m ON m.doc = r.doc + max(0, s.title_seq - r.seq)
WHERE s.sid = ?1 AND s.title_seq < r.seq + r.message_count ORDER BY r.seq LIMIT 1;

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

-- drop_asides: Delete the asides of a session.
DELETE FROM asides WHERE sid = :sid;

-- put_aside: Add a line that is no message.
INSERT INTO asides VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- runs_in: The runs of a session with messages in a range of seqs.
SELECT seq, doc, message_count FROM runs WHERE sid = :sid AND seq <= :last AND seq >= coalesce(
  (SELECT max(seq) FROM runs WHERE sid = :sid AND seq <= :first), 0
) AND seq + message_count > :first ORDER BY seq;

-- set_aside: Add the messages of a range of documents to the asides, without documents.
INSERT INTO asides SELECT sid, seq, start, size, hash, role, at, NULL FROM messages WHERE doc BETWEEN ?1 AND ?2;

-- drop_run: Delete a run.
DELETE FROM runs WHERE sid = ?1 AND seq = ?2;

-- event_docs: The documents of a session's standing events in a range of seqs.
SELECT doc FROM asides WHERE sid = :sid AND seq BETWEEN :first AND :last AND doc IS NOT NULL;

-- forget_documents: Note that the asides in a range of seqs have no documents.
UPDATE asides SET doc = NULL WHERE sid = :sid AND seq BETWEEN :first AND :last AND doc IS NOT NULL;

-- counted_in: The messages in ranges of documents, and those of users and assistants among them.
SELECT count(*), coalesce(sum(m.role < 2), 0)
FROM json_each(:ranges) r CROSS JOIN messages m ON m.doc BETWEEN r.value ->> 0 AND r.value ->> 1;

-- asides_newest: The spots of a session's asides before a seq, newest first, with the stamp of the file.
SELECT a.seq, s.body + a.start, a.size, s.size, s.modified_ns, s.changed_ns, s.inode
FROM sessions s CROSS JOIN asides a ON a.sid = s.sid AND a.seq < :before AND a.seq > :after
WHERE s.name = :name ORDER BY a.seq DESC LIMIT :limit;

-- asides_following: The spots of a session's asides after a seq, in order, with the stamp of the file.
SELECT a.seq, s.body + a.start, a.size, s.size, s.modified_ns, s.changed_ns, s.inode
FROM sessions s CROSS JOIN asides a ON a.sid = s.sid AND a.seq > :after
WHERE s.name = :name ORDER BY a.seq LIMIT :limit;

-- events_in: The number of a session's standing events in a range of seqs.
SELECT count(*) FROM asides WHERE sid = :sid AND seq BETWEEN :first AND :last AND doc IS NOT NULL;

-- events_following: The spots of a session's standing events after a seq, in order, with the stamp of the file.
SELECT a.seq, s.body + a.start, a.size, s.size, s.modified_ns, s.changed_ns, s.inode
FROM sessions s CROSS JOIN asides a ON a.sid = s.sid AND a.seq > :after AND a.doc IS NOT NULL
WHERE s.name = :name ORDER BY a.seq LIMIT :limit;

-- drop_session: Delete the row of a session.
DELETE FROM sessions WHERE sid = :sid;

-- drop_problem: Delete the reason why a name cannot be served.
DELETE FROM problems WHERE name = :name;

-- put_change: Add a change of a session and return its number.
INSERT INTO changes VALUES (NULL, ?1, ?2, ?3, ?4, ?5) RETURNING number;

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

-- identities: The identities of a session's lines, in order: hash of the id, role and time.
SELECT hash, role, at FROM (
  SELECT m.seq, m.hash, m.role, m.at FROM runs r
  CROSS JOIN messages m ON m.doc BETWEEN r.doc AND r.doc + r.message_count - 1 WHERE r.sid = :sid
  UNION ALL SELECT seq, hash, role, at FROM asides WHERE sid = :sid
) ORDER BY seq;

-- page: A page of sessions, latest activity first.
SELECT * FROM listed WHERE {where} ORDER BY updated_at DESC, key LIMIT :limit;

-- page_of_few: A page of few sessions, latest activity first. The unary `+` makes SQLite sort them, not walk an index.
SELECT * FROM listed WHERE {where} ORDER BY +updated_at DESC, +key LIMIT :limit;

-- with_metadata: The sessions of a page, with their metadata.
SELECT s.* FROM sessions s JOIN ({page}) USING (sid) ORDER BY s.updated_at DESC, s.key;

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

-- keys_of: The keys of some sessions.
SELECT sid, key FROM sessions WHERE sid IN (SELECT value FROM json_each(:sids));

-- places: The messages of some documents, each with its session's row and its spot.
SELECT m.doc, s.*, m.seq, s.body + m.start, m.size
FROM json_each(:docs) d CROSS JOIN messages m ON m.doc = d.value CROSS JOIN sessions s ON s.sid = m.sid;

-- wasted: The number of all documents ever made, and the number of messages and names.
SELECT max(next_doc, 1 + max((SELECT coalesce(max(doc), 0) FROM messages), (SELECT coalesce(max(doc), 0) FROM names))) - 1,
  (SELECT coalesce(sum(message_count), 0) FROM totals) + (SELECT count(*) FROM names) FROM marks;

-- event_count: The number of standing events.
SELECT count(*) FROM asides WHERE doc IS NOT NULL;

-- message_count: The number of messages.
SELECT coalesce(sum(message_count), 0) FROM totals;

-- warm_up: Read the rows of the newest messages, of all sessions, names and runs, so that they are in memory.
SELECT sum(size) FROM messages NOT INDEXED WHERE doc > (SELECT max(doc) FROM messages) - :most
UNION ALL SELECT sum(size) FROM sessions NOT INDEXED
UNION ALL SELECT sum(size) FROM names NOT INDEXED
UNION ALL SELECT sum(message_count) FROM runs;

-- created: Sessions created on each day; a day is its number since the year 1.
SELECT (created_at + 63839750400000000) / 86400000000, count(*) FROM sessions
WHERE created_at >= :since AND {where} GROUP BY 1;

-- said: Messages sent on each day, in ranges of documents.
SELECT (m.at + 63839750400000000) / 86400000000, count(*)
FROM json_each(:ranges) r CROSS JOIN messages m ON m.doc BETWEEN r.value ->> 0 AND r.value ->> 1
WHERE m.at >= :since AND m.role < 5 AND (:everywhere OR +m.sid IN (SELECT sid FROM sessions WHERE {where})) GROUP BY 1;

-- said_under: Messages sent on each day, under a prefix.
SELECT (m.at + 63839750400000000) / 86400000000, count(*) FROM sessions s CROSS JOIN runs r ON r.sid = s.sid
CROSS JOIN messages m ON m.doc BETWEEN r.doc AND r.doc + r.message_count - 1
WHERE s.key >= :first AND (:after IS NULL OR s.key < :after) AND m.at >= :since GROUP BY 1;

-- said_between: The number of messages in each range of documents.
SELECT r.key, (
  SELECT count(*) FROM messages m WHERE m.doc BETWEEN r.value ->> 0 AND r.value ->> 1
    AND m.role < 5 AND (:everywhere OR +m.sid IN (SELECT sid FROM sessions WHERE {where}))
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

-- put_zone: Add a zone, or widen its times.
INSERT INTO zones VALUES (?1, ?2, ?3)
ON CONFLICT DO UPDATE SET oldest = min(oldest, excluded.oldest), newest = max(newest, excluded.newest);

-- put_fresh: Add the labels of a message.
INSERT INTO fresh VALUES (?, ?, ?, NULL);

-- put_long: Add the labels of a long message, before its append.
INSERT INTO long_texts SELECT ?1, generation, ?2, ?3 FROM marks;

-- put_fresh_long: Add a message whose labels stand in `long_texts`, if they still do.
INSERT INTO fresh SELECT ?1, NULL, NULL, number FROM long_texts WHERE number = ?2 RETURNING doc;

-- drop_fresh_long: Delete the reference of a sealed message to its long text.
DELETE FROM fresh WHERE doc = (SELECT doc FROM fresh WHERE long IS NOT NULL AND doc <= ?1 LIMIT 1) RETURNING long;

-- drop_long: Delete a long text.
DELETE FROM long_texts WHERE number = ?1;

-- drop_orphans: Delete the long texts of appends that never came.
DELETE FROM long_texts WHERE generation < (SELECT generation FROM marks)
  AND number NOT IN (SELECT long FROM fresh WHERE long IS NOT NULL);

-- next_generation: Count a sealing.
UPDATE marks SET generation = generation + 1;

-- fresh_messages: Messages that are not sealed, in a range of documents, with the facts of each.
SELECT f.doc, coalesce(f.texts, l.texts), coalesce(f.pairs, l.pairs), s.sid,
  iif(m.doc IS NULL, 6, m.role), iif(m.doc IS NULL, n.at, m.at), s.key, s.channel
FROM fresh f LEFT JOIN messages m ON m.doc = f.doc LEFT JOIN names n ON n.doc = f.doc
CROSS JOIN sessions s ON s.sid = coalesce(m.sid, n.sid)
LEFT JOIN long_texts l ON l.number = f.long
WHERE f.doc > ?1 AND f.doc <= ?2 ORDER BY f.doc LIMIT ?3;

-- fresh_count: At most how many messages are not sealed; a long one counts as many.
SELECT coalesce((SELECT max(doc) FROM fresh) - (SELECT sealed FROM marks), 0)
  + 256 * (SELECT count(*) FROM fresh WHERE long IS NOT NULL);

-- last_fresh: The last document that is not sealed, 0 without one.
SELECT coalesce(max(doc), 0) FROM fresh;

-- sealed: The last sealed document.
SELECT sealed FROM marks;

-- put_sealed: Note that all documents up to one are sealed.
UPDATE marks SET sealed = max(sealed, ?1);

-- drop_fresh: Delete the labels of some sealed messages.
DELETE FROM fresh WHERE doc IN (SELECT doc FROM fresh WHERE doc <= ?1 ORDER BY doc LIMIT ?2) RETURNING doc;

-- put_gone: Note that a range of documents has left every set.
INSERT INTO gone VALUES (NULL, ?1, ?2);

-- gone_after: Ranges of documents that left the sets later than others.
SELECT number, doc, message_count FROM gone WHERE number > ?1 ORDER BY number;

-- label: The entry of a label.
SELECT docs FROM lexicon WHERE label = ?1;

-- labels: The entries of some labels, in their order, NULL for a new one.
SELECT l.docs FROM json_each(?1) j LEFT JOIN lexicon l ON l.label = j.value ORDER BY j.key;

-- take_numbers: Reserve numbers for new labels; return the next free one.
UPDATE marks SET next_label = next_label + ?1 RETURNING next_label;

-- put_label: Put the entry of a label.
INSERT OR REPLACE INTO lexicon VALUES (?1, ?2);

-- words_begun: The labels in a range, in order, up to a limit.
SELECT label FROM lexicon WHERE label >= ?1 AND label < ?2 ORDER BY label LIMIT ?3;

-- rows_of_label: The rows of a label, in order of the blocks.
SELECT b.block, p.docs FROM blocks b CROSS JOIN postings p ON p.place = (b.block << 40 | ?1) ORDER BY b.block;

-- labels_begun: The entries of the labels in a range.
SELECT docs FROM lexicon WHERE label >= ?1 AND label < ?2;

-- rows_at: Those of some places that have a row, each with its set.
SELECT p.place, p.docs FROM json_each(?1) j CROSS JOIN postings p ON p.place = j.value;

-- put_row: Replace a row of a set.
INSERT OR REPLACE INTO postings VALUES (?1, ?2);

-- put_block: Note that a block has rows.
INSERT OR IGNORE INTO blocks VALUES (?1);

-- last_doc: The last document, 0 without any.
SELECT max((SELECT coalesce(max(doc), 0) FROM messages), (SELECT coalesce(max(doc), 0) FROM names));

-- messages_of: The messages of some documents, in one row of JSON.
SELECT json_group_array(json_array(m.doc, m.sid, m.seq, m.at, m.size))
FROM json_each(:docs) d CROSS JOIN messages m ON m.doc = d.value;

-- sid_of: The session of a document.
SELECT sid FROM messages WHERE doc = ?1 UNION ALL SELECT sid FROM names WHERE doc = ?1;

-- sids_where: The sessions of a selection, up to a limit.
SELECT sid FROM sessions WHERE {where} LIMIT :limit;

-- sids_changed: The sessions that changed after a change, and those with documents from a number on.
SELECT s.sid FROM changes c CROSS JOIN sessions s ON s.key = c.key WHERE c.number > :change
UNION SELECT sid FROM messages WHERE doc >= :doc UNION SELECT sid FROM names WHERE doc >= :doc;

-- runs_where: The runs of documents of the sessions in a selection, with their events.
WITH chosen AS MATERIALIZED (SELECT sid AS id FROM sessions WHERE {where})
SELECT r.doc, r.message_count FROM chosen CROSS JOIN runs r ON r.sid = id
UNION ALL SELECT a.doc, 1 FROM chosen CROSS JOIN asides a ON a.sid = id WHERE a.doc IS NOT NULL
UNION ALL SELECT n.doc, 1 FROM chosen CROSS JOIN names n ON n.sid = id;

-- put_model: Add the name of a model.
INSERT OR IGNORE INTO models (name) VALUES (?1);

-- put_call: Add an answer of a model.
INSERT INTO calls SELECT ?1, ?2, ?3, model, ?5, ?6, ?7, ?8, ?9, ?10 FROM models WHERE name = ?4;

-- drop_calls: Delete the answers of a session.
DELETE FROM calls WHERE sid = :sid;

-- put_blob: Note that a session names a blob.
INSERT OR IGNORE INTO blobs VALUES (?1, ?2, ?3);

-- drop_blobs: Forget the blobs that a session names.
DELETE FROM blobs WHERE sid = :sid;

-- blobs_of: The blobs that a session names, by the name of its file.
SELECT b.hash FROM sessions s CROSS JOIN blobs b ON b.sid = s.sid WHERE s.name = :name;

-- blob_named: The first session under a prefix that names a blob.
SELECT s.name FROM blobs b CROSS JOIN sessions s ON s.sid = b.sid
WHERE b.hash = :hash AND s.key >= :first AND (:after IS NULL OR s.key < :after) LIMIT 1;

-- blob_sizes: The number of the blobs that sessions under a prefix name, and their bytes.
SELECT count(*), coalesce(sum(size), 0) FROM (
  SELECT b.hash, max(b.size) AS size FROM blobs b CROSS JOIN sessions s ON s.sid = b.sid
  WHERE s.key >= :first AND (:after IS NULL OR s.key < :after) GROUP BY b.hash
);

-- models_on_days: The days on which answers in a selection were given, by model.
WITH chosen AS MATERIALIZED (SELECT sid, {copied} AS copied FROM sessions WHERE {where})
SELECT m.model, m.name, d.day FROM (
  SELECT DISTINCT c.model AS model, c.day AS day FROM chosen s
  CROSS JOIN calls c ON c.sid = s.sid AND c.seq > s.copied AND c.day BETWEEN :since AND :until
) d CROSS JOIN models m ON m.model = d.model ORDER BY m.model, d.day;

-- usage: The answers in a selection by group, with their tokens and cost; the number of groups comes last.
WITH chosen AS MATERIALIZED (
  SELECT sid, channel, tags, {copied} AS copied FROM sessions WHERE {where}
), rates AS MATERIALIZED (
  SELECT value ->> 0 AS model, value ->> 1 AS since, value ->> 2 AS until, value ->> 3 AS above, value ->> 4 AS up_to,
    value ->> 5 AS input, value ->> 6 AS cached, value ->> 7 AS cache_write, value ->> 8 AS output, value ->> 9 AS request
  FROM json_each(:rates)
), priced AS (
  SELECT {group} AS name, c.*, coalesce(
    c.cost,
    r.request + (c.input - coalesce(c.cached, 0) - coalesce(c.cache_write, 0)) * r.input
    + coalesce(c.cached, 0) * r.cached + coalesce(c.cache_write, 0) * r.cache_write + c.output * r.output
  ) AS price
  FROM chosen s CROSS JOIN calls c ON c.sid = s.sid AND c.seq > s.copied AND c.day BETWEEN :since AND :until
  LEFT JOIN rates r
    ON r.model = c.model AND c.day BETWEEN r.since AND r.until AND c.input > r.above AND c.input <= r.up_to
  {tags}
)
SELECT {name} AS name, calls, uncounted, unpriced, input, output, cached, cache_write, reasoning, price, count(*) OVER ()
FROM (
  SELECT name AS of, count(*) AS calls, sum(input IS NULL) AS uncounted, sum(price IS NULL) AS unpriced,
    coalesce(sum(input), 0) AS input, coalesce(sum(output), 0) AS output, coalesce(sum(cached), 0) AS cached,
    coalesce(sum(cache_write), 0) AS cache_write, coalesce(sum(reasoning), 0) AS reasoning, sum(price) AS price
  FROM priced GROUP BY name
) ORDER BY {order} LIMIT :limit;

-- listed: Some sessions, as a list shows them.
SELECT * FROM listed WHERE key IN (SELECT value FROM json_each(:keys));

-- begin_erasure: Count an erasure that begins.
UPDATE marks SET erasures = erasures + 1;

-- erasures: The number of erasures begun.
SELECT erasures FROM marks;

-- unscrubbed: The number of erasures begun but not ended.
SELECT erasures - scrubbed FROM marks;

-- put_scrubbed: Note that the first erasures have ended.
UPDATE marks SET scrubbed = max(scrubbed, ?1);

-- drop_fresh_orphans: Delete the labels of documents that are gone, before their sealing.
DELETE FROM fresh WHERE NOT EXISTS (SELECT 1 FROM messages m WHERE m.doc = fresh.doc)
  AND NOT EXISTS (SELECT 1 FROM names n WHERE n.doc = fresh.doc);

-- drop_long_orphans: Delete the long texts of no message; an append that is under way brings its own again.
DELETE FROM long_texts WHERE number NOT IN (SELECT long FROM fresh WHERE long IS NOT NULL);

-- any_alive: Whether any of some documents is not gone.
SELECT EXISTS (
  SELECT 1 FROM json_each(?1) d
  WHERE EXISTS (SELECT 1 FROM messages WHERE doc = d.value) OR EXISTS (SELECT 1 FROM names WHERE doc = d.value)
);

-- drop_rows_of_label: Delete the rows of a label.
DELETE FROM postings WHERE place IN (SELECT block << 40 | ?1 FROM blocks);

-- drop_label: Delete a label.
DELETE FROM lexicon WHERE label = ?1;

-- all_runs: The runs of documents of a session.
SELECT seq, doc, message_count FROM runs WHERE sid = :sid;

-- move_message: Change the place of a message in its file.
UPDATE messages SET start = ?2, size = ?3 WHERE doc = ?1;

-- move_event: Change the place of a standing event in its file, where a search finds it.
UPDATE messages SET start = ?3, size = ?4 WHERE doc = (SELECT doc FROM asides WHERE sid = ?1 AND seq = ?2);

-- move_aside: Change the place of a line that is no message, and its role.
UPDATE asides SET start = ?3, size = ?4, role = ?5 WHERE sid = ?1 AND seq = ?2;

-- drop_call: Delete an answer of a model.
DELETE FROM calls WHERE sid = ?1 AND seq = ?2;
