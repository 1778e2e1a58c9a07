-- append: the row of a session with `expect` lines, or any number, grows by new lines; none of them drops any.
WITH s AS (
  UPDATE sessions AS s SET
    line_count = s.line_count + %(count)s,
    message_count = s.message_count + %(said)s,
    talk_count = s.talk_count + %(talk)s,
    auto_title = coalesce(s.auto_title, %(auto_title)s),
    title_hint = CASE WHEN s.auto_title IS NOT NULL THEN s.title_hint WHEN %(auto_title)s::text IS NOT NULL THEN ''
      WHEN s.title_hint = '' THEN %(title_hint)s ELSE s.title_hint END,
    title_seq = CASE WHEN s.auto_title IS NULL AND (%(auto_title)s::text IS NOT NULL OR s.title_hint = '')
      THEN CASE WHEN %(title_seq)s = 0 THEN 0 ELSE s.line_count + %(title_seq)s END ELSE s.title_seq END,
    preview = CASE WHEN %(preview)s <> '' THEN %(preview)s ELSE s.preview END,
    preview_hint = CASE WHEN %(preview)s <> '' THEN ''
      WHEN %(preview_hint)s <> '' AND s.preview = '' THEN %(preview_hint)s ELSE s.preview_hint END,
    preview_seq = CASE WHEN %(preview)s <> '' OR (%(preview_hint)s <> '' AND s.preview = '')
      THEN s.line_count + %(preview_seq)s ELSE s.preview_seq END,
    latest_at = greatest(s.latest_at, %(latest_at)s),
    updated_at = greatest(s.latest_at, %(latest_at)s),
    size = s.size + %(size)s
  WHERE bucket = %(bucket)s AND key = %(key)s AND (%(expect)s::numeric IS NULL OR s.line_count = %(expect)s::numeric)
  RETURNING sid, line_count, channel
), {lines}, c AS (
  INSERT INTO changes (kind, key, first_seq, last_seq)
  SELECT 'appended', %(key)s, line_count - %(count)s + 1, line_count FROM s
)
SELECT line_count FROM s

-- begin: a new session with its first lines; nothing if there is one of its key.
WITH s AS (
  INSERT INTO sessions (bucket, key, channel, created_at, line_count, message_count, talk_count, auto_title, title_hint,
    title_seq, preview, preview_hint, preview_seq, latest_at, updated_at, size, names_doc)
  VALUES (%(bucket)s, %(key)s, %(channel)s, %(created_at)s, %(count)s, %(said)s, %(talk)s, %(auto_title)s,
    %(title_hint)s, %(title_seq)s, %(preview)s, %(preview_hint)s, %(preview_seq)s, %(latest_at)s, %(latest_at)s,
    %(size)s + %(header_size)s, nextval('docs'))
  ON CONFLICT (bucket, key) DO NOTHING
  RETURNING sid, line_count, channel, names_doc
), {lines}, n AS (
  INSERT INTO fresh (doc, sid, role, at, key, channel, texts, pairs)
  SELECT names_doc, sid, %(named)s, %(created_at)s, %(key)s, channel, %(name_texts)s, %(name_pairs)s FROM s
), c AS (
  INSERT INTO changes (kind, key, first_seq, last_seq) SELECT 'created', %(key)s, 1, line_count FROM s
)
SELECT line_count FROM s

-- lines: the lines of an append, for the row of their session in `s`.
d AS MATERIALIZED (
  SELECT s.sid, s.channel, s.line_count - %(count)s + o::int AS seq, u.*,
    CASE WHEN u.state < 2 THEN nextval('docs') END AS doc
  FROM s, unnest(%(states)s::smallint[], %(roles)s::smallint[], %(sizes)s::int[], %(ats)s::bigint[], %(ids)s::text[],
    %(bodies)s::text[], %(texts)s::text[], %(pairs)s::bytea[], %(calls)s::text[])
    WITH ORDINALITY AS u (state, role, size, at, id, body, texts, pairs, call, o)
), m AS (
  INSERT INTO messages (bucket, sid, seq, state, role, size, at, doc, id, body)
  SELECT %(bucket)s, sid, seq, state, role, size + 7 + length(seq::text), at, doc, id, body FROM d
), f AS (
  INSERT INTO fresh (doc, sid, role, at, key, channel, texts, pairs)
  SELECT doc, sid, role, at, %(key)s, channel, texts, pairs FROM d WHERE doc IS NOT NULL
), k AS (
  INSERT INTO calls (bucket, sid, seq, call) SELECT %(bucket)s, sid, seq, call FROM d WHERE call IS NOT NULL
)

-- put_lines: lines at the end of a session whose row is locked.
WITH s AS (SELECT %(sid)s::bigint AS sid, %(line_count)s::int AS line_count, %(channel)s::text AS channel), {lines}
SELECT 1

-- put_session: a new session without lines; nothing if there is one of its key.
INSERT INTO sessions (bucket, key, channel, user_title, created_at, metadata, archived, pinned, tags, held, updated_at,
  size, extra, entries)
VALUES (%(bucket)s, %(key)s, %(channel)s, %(user_title)s, %(created_at)s, %(metadata)s, %(archived)s, %(pinned)s,
  %(tags)s, %(held)s, %(created_at)s, %(header_size)s, %(extra)s, %(entries)s)
ON CONFLICT (bucket, key) DO NOTHING
RETURNING {columns}

-- put_digest: the digest of a session after a change of its lines.
UPDATE sessions SET
  line_count = %(line_count)s, message_count = %(message_count)s, talk_count = %(talk_count)s,
  auto_title = %(auto_title)s, title_hint = %(title_hint)s, title_seq = %(title_seq)s, preview = %(preview)s,
  preview_hint = %(preview_hint)s, preview_seq = %(preview_seq)s, latest_at = %(latest_at)s,
  updated_at = coalesce(%(latest_at)s, created_at), size = size + %(grown)s
WHERE bucket = %(bucket)s AND sid = %(sid)s

-- revise: the header of a session.
UPDATE sessions SET user_title = %(user_title)s, metadata = %(metadata)s, archived = %(archived)s, pinned = %(pinned)s,
  tags = %(tags)s, held = %(held)s, entries = %(entries)s, size = size + %(grown)s
WHERE bucket = %(bucket)s AND sid = %(sid)s

-- row: the row of a session.
SELECT {columns} FROM sessions WHERE bucket = %(bucket)s AND key = %(key)s

-- put_names: the names of a session, as a new document; the one before has left every set.
WITH g AS (
  INSERT INTO gone (first_doc, last_doc) SELECT names_doc, names_doc FROM sessions
  WHERE bucket = %(bucket)s AND sid = %(sid)s AND names_doc IS NOT NULL
), s AS (
  UPDATE sessions SET names_doc = nextval('docs') WHERE bucket = %(bucket)s AND sid = %(sid)s
  RETURNING sid, channel, created_at, names_doc
)
INSERT INTO fresh (doc, sid, role, at, key, channel, texts, pairs)
SELECT names_doc, sid, %(named)s, created_at, %(key)s, channel, %(name_texts)s, %(name_pairs)s FROM s

-- unsay: lines in ranges of seqs that no longer stand; their documents leave every set.
WITH was AS (
  SELECT m.seq, m.doc, m.state, m.role FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS r (first, last)
  JOIN messages m ON m.bucket = %(bucket)s AND m.sid = %(sid)s AND m.seq BETWEEN r.first AND r.last
  WHERE m.state < 3
), u AS (
  UPDATE messages m SET state = 3, doc = NULL FROM was
  WHERE m.bucket = %(bucket)s AND m.sid = %(sid)s AND m.seq = was.seq
), g AS (
  INSERT INTO gone (first_doc, last_doc)
  SELECT min(doc), max(doc) FROM (
    SELECT doc, doc - row_number() OVER (ORDER BY doc) AS run FROM was WHERE doc IS NOT NULL
  ) AS runs GROUP BY run
)
SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 0 AND role < %(talk)s) FROM was

-- withdraw: all documents of a session leave every set.
WITH g AS (
  SELECT doc, doc - row_number() OVER (ORDER BY doc) AS run FROM (
    SELECT doc FROM messages WHERE bucket = %(bucket)s AND sid = %(sid)s AND doc IS NOT NULL
    UNION ALL SELECT names_doc FROM sessions WHERE bucket = %(bucket)s AND sid = %(sid)s AND names_doc IS NOT NULL
  ) AS docs
)
INSERT INTO gone (first_doc, last_doc) SELECT min(doc), max(doc) FROM g GROUP BY run

-- note: a change of a session.
INSERT INTO changes (kind, key, first_seq, last_seq, drops)
VALUES (%(kind)s, %(key)s, %(first_seq)s, %(last_seq)s, %(drops)s)

-- number_changes: numbers for the committed changes that have none, in the order of their ids.
WITH n AS (
  SELECT id, row_number() OVER (ORDER BY id) + %(last)s AS number FROM changes WHERE number IS NULL
), u AS (
  UPDATE changes c SET number = n.number FROM n WHERE c.id = n.id RETURNING c.number
)
UPDATE marks SET last_number = (SELECT max(number) FROM u) WHERE EXISTS (SELECT 1 FROM u)

-- changes: the changes after a number, with the session of each.
SELECT c.number, c.kind, c.key, c.first_seq, c.last_seq, c.drops, {columns}
FROM (SELECT * FROM changes WHERE number > %(after)s ORDER BY number LIMIT %(limit)s) AS c
LEFT JOIN sessions USING (key)
ORDER BY c.number

-- last_seen: the last change of keys in a range, between two numbers.
SELECT number FROM changes
WHERE number > %(round)s AND number <= %(reached)s AND key >= %(first)s AND (%(after)s::text IS NULL OR key < %(after)s)
ORDER BY number DESC LIMIT 1

-- by_ids: the lines of a session with some ids.
SELECT seq, body FROM messages WHERE bucket = %(bucket)s AND sid = %(sid)s AND id = ANY(%(ids)s::text[])

-- page: a page of sessions by latest activity.
SELECT {columns} FROM sessions WHERE {where} ORDER BY updated_at DESC, key LIMIT %(limit)s

-- count: the number of sessions of a selection.
SELECT count(*) FROM sessions WHERE {where}

-- keys: a page of keys.
SELECT key FROM sessions WHERE {where} ORDER BY key LIMIT %(limit)s

-- channels: sessions, messages and bytes of each channel.
SELECT channel, count(*), sum(message_count)::bigint, sum(size)::bigint FROM sessions WHERE {where} GROUP BY channel

-- days_created: sessions by the day of their beginning.
SELECT floor(created_at / 86400000000.0)::int, count(*) FROM sessions WHERE {where} GROUP BY 1

-- days_said: messages by their day.
SELECT floor(m.at / 86400000000.0)::int, count(*) FROM messages m JOIN sessions USING (bucket, sid)
WHERE m.state = 0 AND {where} GROUP BY 1

-- tags: the commonest tags.
SELECT tag, count(DISTINCT sid) FROM sessions, unnest(tags) AS tag WHERE {where}
GROUP BY tag ORDER BY 2 DESC, tag LIMIT %(limit)s

-- most_size: the sessions with the most bytes.
SELECT {columns} FROM sessions WHERE {where} ORDER BY size DESC, key LIMIT %(limit)s

-- most_message_count: the sessions with the most messages.
SELECT {columns} FROM sessions WHERE {where} ORDER BY message_count DESC, key LIMIT %(limit)s

-- calls: the answers of models in each session of a selection that has some.
SELECT c.calls, {columns} FROM sessions JOIN LATERAL (
  SELECT array_agg(call ORDER BY seq) AS calls FROM calls WHERE bucket = sessions.bucket AND sid = sessions.sid
) AS c ON c.calls IS NOT NULL WHERE {where} ORDER BY key

-- to_trash: a session moves to the trash.
WITH t AS (DELETE FROM sessions WHERE bucket = %(bucket)s AND sid = %(sid)s RETURNING *)
INSERT INTO trash (sid, {stored}, deleted_at) SELECT sid, {stored}, {now} FROM t

-- from_trash: a session comes back; nothing if there is one of its key.
WITH t AS (DELETE FROM trash WHERE bucket = %(bucket)s AND sid = %(sid)s RETURNING *)
INSERT INTO sessions (sid, names_doc, {stored}) SELECT sid, NULL, {stored} FROM t
RETURNING {columns}

-- trashed: the sessions in the trash, the last deleted first.
SELECT sid, bucket, key, user_title, channel, deleted_at, size FROM trash
WHERE key >= %(first)s AND (%(after)s::text IS NULL OR key < %(after)s) ORDER BY deleted_at DESC, sid DESC

-- in_trash: the sessions of a key in the trash, the last deleted first.
SELECT sid FROM trash WHERE bucket = %(bucket)s AND key = %(key)s ORDER BY deleted_at DESC, sid DESC FOR UPDATE

-- put_docs: new documents for some lines of a session.
WITH d AS (
  SELECT u.*, nextval('docs') AS doc
  FROM unnest(%(seqs)s::int[], %(texts)s::text[], %(pairs)s::bytea[]) AS u (seq, texts, pairs)
), m AS (
  UPDATE messages m SET doc = d.doc FROM d WHERE m.bucket = %(bucket)s AND m.sid = %(sid)s AND m.seq = d.seq
  RETURNING m.doc, m.role, m.at
)
INSERT INTO fresh (doc, sid, role, at, key, channel, texts, pairs)
SELECT d.doc, %(sid)s, m.role, m.at, %(key)s, %(channel)s, d.texts, d.pairs FROM d JOIN m USING (doc)

-- fresh_after: the labels of the messages of transactions from a number on, besides known ones.
SELECT doc, texts, pairs, sid, role, at, key, channel FROM fresh
WHERE xid >= %(xid)s AND NOT doc = ANY(%(known)s::bigint[]) ORDER BY doc

-- fresh_first: the first labels to seal.
SELECT doc, texts, pairs, sid, role, at, key, channel FROM fresh ORDER BY doc LIMIT %(limit)s

-- moment: the number of sealings, the first transaction that may not have ended, the secret, and whether there are rows.
SELECT sealed, pg_snapshot_xmin(pg_current_snapshot())::text::bigint, epoch, EXISTS (SELECT 1 FROM postings) FROM marks

-- gone_after: the ranges of documents withdrawn by transactions from a number on.
SELECT first_doc, last_doc FROM gone WHERE xid >= %(xid)s

-- rows_of_label: the rows of a label.
SELECT block, docs FROM postings WHERE label = %(label)s ORDER BY block

-- rows_begun: the rows of the labels that begin so.
SELECT label, block, docs FROM postings WHERE label >= %(first)s AND label < %(after)s ORDER BY label, block

-- words_begun: the labels that begin so.
SELECT DISTINCT label FROM postings WHERE label >= %(first)s AND label < %(after)s LIMIT %(limit)s

-- rows_at: the rows of some labels and blocks.
SELECT label, block, docs FROM unnest(%(labels)s::text[], %(blocks)s::int[]) AS u (label, block)
JOIN postings USING (label, block)

-- put_rows: rows of labels.
INSERT INTO postings (label, block, docs) SELECT * FROM unnest(%(labels)s::text[], %(blocks)s::int[], %(docs)s::bytea[])
ON CONFLICT (label, block) DO UPDATE SET docs = excluded.docs

-- messages_of: the messages of documents.
SELECT doc, sid, seq, at, size FROM messages WHERE doc = ANY(%(docs)s::bigint[])

-- names_of: the sessions of documents with names.
SELECT names_doc, {columns} FROM sessions WHERE names_doc = ANY(%(docs)s::bigint[])

-- places: the messages of documents, with their bodies and sessions.
SELECT m.doc, m.seq, m.body, {columns} FROM messages m JOIN sessions USING (bucket, sid)
WHERE m.doc = ANY(%(docs)s::bigint[])

-- bodies: the bodies of documents.
SELECT doc, seq, body FROM messages WHERE doc = ANY(%(docs)s::bigint[])

-- keys_of: the keys of sessions.
SELECT sid, key FROM sessions WHERE sid = ANY(%(sids)s::bigint[])

-- shown_of: the first message of a session from that with its title on.
SELECT m.seq, m.body FROM messages m JOIN sessions s USING (bucket, sid)
WHERE s.sid = %(sid)s AND m.state = 0 AND m.seq >= s.title_seq ORDER BY m.seq LIMIT 1

-- sids: the sessions of a selection.
SELECT sid FROM sessions WHERE {where} LIMIT %(limit)s

-- docs_of: the documents of a selection of sessions.
SELECT m.doc FROM sessions JOIN messages m USING (bucket, sid) WHERE m.doc IS NOT NULL AND {where}
UNION ALL SELECT names_doc FROM sessions WHERE names_doc IS NOT NULL AND {where}

-- locked_row: the row of a session, held until the end of the transaction.
SELECT {columns} FROM sessions WHERE bucket = %(bucket)s AND key = %(key)s FOR UPDATE

-- standing_from: the first standing lines of a session, events too.
SELECT seq, body FROM messages WHERE bucket = %(bucket)s AND sid = %(sid)s AND state < 2 AND seq > %(after)s
ORDER BY seq LIMIT %(limit)s

-- standing_in: the standing lines with seqs in a range, events too.
SELECT seq, body FROM messages
WHERE bucket = %(bucket)s AND sid = %(sid)s AND state < 2 AND seq BETWEEN %(first)s AND %(last)s
ORDER BY seq LIMIT %(limit)s

-- lines_in: the lines with seqs in some ranges.
SELECT m.seq, m.body FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS r (first, last)
JOIN messages m ON m.bucket = %(bucket)s AND m.sid = %(sid)s AND m.seq BETWEEN r.first AND r.last ORDER BY m.seq

-- users: the messages of the user in a session, oldest first.
SELECT seq, body FROM messages WHERE bucket = %(bucket)s AND sid = %(sid)s AND state = 0 AND role < %(roles)s
AND seq > %(after)s ORDER BY seq LIMIT %(limit)s

-- talk: the messages of user and assistant in a session, newest first.
SELECT seq, body FROM messages WHERE bucket = %(bucket)s AND sid = %(sid)s AND state = 0 AND role < %(roles)s
AND seq < %(before)s ORDER BY seq DESC LIMIT %(limit)s

-- every_line: the lines of a session.
SELECT seq, body FROM messages WHERE bucket = %(bucket)s AND sid = %(sid)s ORDER BY seq

-- newest: the newest lines of a session between two seqs.
SELECT m.seq, m.body FROM sessions LEFT JOIN LATERAL (
  SELECT seq, body FROM messages WHERE bucket = sessions.bucket AND sid = sessions.sid AND {where}
  AND seq < %(before)s::bigint AND seq > %(after)s::bigint ORDER BY seq DESC LIMIT %(limit)s
) AS m ON true WHERE sessions.bucket = %(bucket)s AND sessions.key = %(key)s

-- following: the first lines of a session after a seq.
SELECT m.seq, m.body FROM sessions LEFT JOIN LATERAL (
  SELECT seq, body FROM messages WHERE bucket = sessions.bucket AND sid = sessions.sid AND {where}
  AND seq > %(after)s::bigint ORDER BY seq LIMIT %(limit)s
) AS m ON true WHERE sessions.bucket = %(bucket)s AND sessions.key = %(key)s

-- by_id: a line of a session by its id.
SELECT m.state, m.seq, m.body FROM sessions LEFT JOIN messages m
ON m.bucket = sessions.bucket AND m.sid = sessions.sid AND m.id = %(id)s
WHERE sessions.bucket = %(bucket)s AND sessions.key = %(key)s

-- dropped_seqs: the runs of dropped lines of a session.
SELECT min(seq), max(seq) FROM (
  SELECT seq, seq - row_number() OVER (ORDER BY seq) AS run FROM messages
  WHERE bucket = %(bucket)s AND sid = %(sid)s AND state = 3
) AS runs GROUP BY run ORDER BY 1

-- hide: the lines of a session leave every set.
UPDATE messages SET doc = NULL WHERE bucket = %(bucket)s AND sid = %(sid)s AND doc IS NOT NULL

-- remember_deletion: a key was deleted.
INSERT INTO deletions (bucket, hash, deleted_at) VALUES (%(bucket)s, %(hash)s, {now})
ON CONFLICT (bucket, hash) DO UPDATE SET deleted_at = excluded.deleted_at

-- forget_deletion: a key is there again.
DELETE FROM deletions WHERE bucket = %(bucket)s AND hash = %(hash)s

-- is_deleted: whether a key was deleted.
SELECT 1 FROM deletions WHERE bucket = %(bucket)s AND hash = %(hash)s

-- drop_messages: the lines of sessions.
DELETE FROM messages WHERE sid = ANY(%(sids)s::bigint[]) AND bucket = ANY(%(buckets)s::smallint[])

-- drop_calls: the answers of models in sessions.
DELETE FROM calls WHERE sid = ANY(%(sids)s::bigint[]) AND bucket = ANY(%(buckets)s::smallint[])

-- drop_session: the row of a session.
DELETE FROM sessions WHERE bucket = %(bucket)s AND sid = %(sid)s

-- drop_trashed: the rows of sessions that are still in the trash.
DELETE FROM trash WHERE sid = ANY(%(sids)s::bigint[]) AND bucket = ANY(%(buckets)s::smallint[]) RETURNING sid

-- dropped_lines: the dropped lines of a session.
SELECT seq, body FROM messages WHERE bucket = %(bucket)s AND sid = %(sid)s AND state = 3 ORDER BY seq

-- erase_lines: the bodies of erased lines.
UPDATE messages m SET body = u.body, size = u.size, role = %(role)s
FROM unnest(%(seqs)s::int[], %(bodies)s::text[], %(sizes)s::int[]) AS u (seq, body, size)
WHERE m.bucket = %(bucket)s AND m.sid = %(sid)s AND m.seq = u.seq

-- erase_calls: the answers of erased lines.
DELETE FROM calls WHERE bucket = %(bucket)s AND sid = %(sid)s AND seq = ANY(%(seqs)s::int[])

-- shrink: the bytes of a session.
UPDATE sessions SET size = size - %(freed)s WHERE bucket = %(bucket)s AND sid = %(sid)s

-- feed: the last number, the secret, and the first number that is known.
SELECT last_number, epoch, coalesce((SELECT min(number) FROM changes), last_number + 1) FROM marks

-- has_unnumbered: whether there are changes without a number.
SELECT 1 FROM changes WHERE number IS NULL LIMIT 1

-- lock_feed: the last number; nobody else gives any until the transaction ends.
SELECT last_number FROM marks FOR UPDATE

-- forget_changes: changes too old for any view.
DELETE FROM changes WHERE number <= %(upto)s

-- waiting: how many documents are fresh, at most so many.
SELECT count(*) FROM (SELECT 1 FROM fresh LIMIT %(limit)s) AS few

-- try_seal: whether nobody else seals or erases until the end of the transaction.
SELECT pg_try_advisory_xact_lock(%(lock)s)

-- wait_seal: waits until nobody else seals or erases, until the end of the transaction.
SELECT pg_advisory_xact_lock(%(lock)s)

-- patient: the statements of this transaction take as long as they need.
SET LOCAL statement_timeout = 0

-- take_gone: the ranges of withdrawn documents, which go.
DELETE FROM gone RETURNING first_doc, last_doc

-- drop_fresh: the labels of documents that are sealed, or gone before.
DELETE FROM fresh WHERE doc = ANY(%(docs)s::bigint[])

-- sealed_once: another sealing is done.
UPDATE marks SET sealed = sealed + 1

-- drop_labels: the rows of some labels.
DELETE FROM postings WHERE label = ANY(%(labels)s::text[])

-- fresh_docs: the documents that are not sealed.
SELECT doc FROM fresh
