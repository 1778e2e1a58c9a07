-- names: All names in the index.
SELECT name FROM sessions UNION ALL SELECT name FROM problems;

-- strays: The number of lines without a session, plus the number of sessions with wrong counts. (Role 5 is the event.)
SELECT
  (SELECT count(*) FROM messages WHERE sid NOT IN (SELECT sid FROM sessions)) +
  (SELECT count(*) FROM asides WHERE sid NOT IN (SELECT sid FROM sessions)) +
  (SELECT count(*) FROM calls WHERE sid NOT IN (SELECT sid FROM sessions)) + (
    SELECT count(*) FROM sessions s
    LEFT JOIN (SELECT sid, count(*) AS n FROM messages WHERE role < 5 GROUP BY sid) m ON m.sid = s.sid
    LEFT JOIN (SELECT sid, count(*) AS n FROM asides GROUP BY sid) a ON a.sid = s.sid
    WHERE s.message_count <> coalesce(m.n, 0) OR s.line_count <> s.message_count + coalesce(a.n, 0)
  );

-- strangers: Messages outside the runs and the events of their session, plus runs without a session.

SELECT (SELECT count(*) FROM messages) - (
  SELECT count(*) FROM runs r CROSS JOIN messages m ON m.doc BETWEEN r.doc AND r.doc + r.message_count - 1
  WHERE +m.sid = r.sid AND m.seq - r.seq = m.doc - r.doc
) - (
  SELECT count(*) FROM asides a CROSS JOIN messages m ON m.doc = a.doc
  WHERE +m.sid = a.sid AND m.seq = a.seq AND m.role = 5 AND a.role = 5
) + (SELECT count(*) FROM runs WHERE sid NOT IN (SELECT sid FROM sessions));

-- misplaced: The number of messages outside the times of their zone.
SELECT count(*) FROM messages m LEFT JOIN zones z ON z.zone = m.doc / 256
WHERE z.zone IS NULL OR m.at NOT BETWEEN z.oldest AND z.newest;

-- sids: All sessions.
SELECT sid FROM sessions;

-- miscounts: The number of totals that differ from their sessions.
SELECT count(*) FROM (
  SELECT channel, archived, session_count, message_count, size FROM totals WHERE session_count <> 0
  EXCEPT SELECT channel, archived, count(*), sum(message_count), sum(size) FROM sessions GROUP BY channel, archived
);
