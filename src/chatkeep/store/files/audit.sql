-- names: Every name that the index knows.
SELECT name FROM sessions UNION ALL SELECT name FROM problems;

-- strays: How many messages have no session, and how many sessions count others than they have.
SELECT
  (SELECT count(*) FROM messages WHERE sid NOT IN (SELECT sid FROM sessions)) + (
    SELECT count(*) FROM sessions s LEFT JOIN (SELECT sid, count(*) AS n FROM messages GROUP BY sid) m ON m.sid = s.sid
    WHERE s.message_count <> coalesce(m.n, 0)
  );

-- wordless: How many messages have no words to be found by, and how many words have no message.
SELECT
  (SELECT count(*) FROM messages WHERE doc NOT IN (SELECT id FROM words_docsize))
  + (SELECT count(*) FROM words_docsize WHERE id NOT IN (SELECT doc FROM messages));

-- miscounts: How many totals are not those of the sessions.
SELECT count(*) FROM (
  SELECT channel, archived, session_count, message_count, size FROM totals WHERE session_count <> 0
  EXCEPT SELECT channel, archived, count(*), sum(message_count), sum(size) FROM sessions GROUP BY channel, archived
);
