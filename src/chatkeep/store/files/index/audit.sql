-- names: Every name that the index knows.
SELECT name FROM sessions UNION ALL SELECT name FROM problems;

-- strays: How many messages have no session, and how many sessions count others than they have.
SELECT
  (SELECT count(*) FROM messages WHERE sid NOT IN (SELECT sid FROM sessions)) + (
    SELECT count(*) FROM sessions s LEFT JOIN (SELECT sid, count(*) AS n FROM messages GROUP BY sid) m ON m.sid = s.sid
    WHERE s.message_count <> coalesce(m.n, 0)
  );

-- strangers: How many messages are not where the runs of their session say, or are in none. (`+`: not by the session.)
SELECT (SELECT count(*) FROM messages) - (
  SELECT count(*) FROM runs r CROSS JOIN messages m ON m.doc BETWEEN r.doc AND r.doc + r.message_count - 1
  WHERE +m.sid = r.sid AND m.seq - r.seq = m.doc - r.doc
) + (SELECT count(*) FROM runs WHERE sid NOT IN (SELECT sid FROM sessions));

-- misplaced: How many messages are outside of the times of their zone, and how many zones forget what was before.
SELECT
  (
    SELECT count(*) FROM messages m LEFT JOIN zones z ON z.zone = m.doc / 256
    WHERE z.zone IS NULL OR m.at NOT BETWEEN z.oldest AND z.newest
  ) + (
    SELECT count(*) FROM (SELECT newest_so_far, max(newest) OVER (ORDER BY zone) AS known FROM zones)
    WHERE newest_so_far < known
  );

-- sids: Every session.
SELECT sid FROM sessions;

-- unfound: How many messages of a session are not among the documents that its word finds.
SELECT count(*) FROM runs r CROSS JOIN messages m ON m.doc BETWEEN r.doc AND r.doc + r.message_count - 1
WHERE r.sid = :sid AND m.doc NOT IN (SELECT rowid FROM words WHERE words MATCH '"' || :word || '"');

-- miscounts: How many totals are not those of the sessions.
SELECT count(*) FROM (
  SELECT channel, archived, session_count, message_count, size FROM totals WHERE session_count <> 0
  EXCEPT SELECT channel, archived, count(*), sum(message_count), sum(size) FROM sessions GROUP BY channel, archived
);
