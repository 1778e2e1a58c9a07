-- known_keys: Keys from a beginning on, by code point.
SELECT key FROM sessions WHERE key >= :prefix ORDER BY key LIMIT :limit;

-- known_channels: The channels with sessions.
SELECT channel FROM totals GROUP BY channel HAVING sum(session_count) > 0 ORDER BY channel;
