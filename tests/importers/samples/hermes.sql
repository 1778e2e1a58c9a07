-- The tables of Hermes 0.19 that sessions are in, some columns of each; made by hand.
CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO schema_version VALUES (16);
CREATE TABLE sessions (id TEXT PRIMARY KEY, source TEXT NOT NULL, user_id TEXT, session_key TEXT, model TEXT, model_config TEXT,
  system_prompt TEXT, parent_session_id TEXT, started_at REAL NOT NULL, ended_at REAL, end_reason TEXT, message_count INTEGER DEFAULT 0,
  input_tokens INTEGER DEFAULT 0, cwd TEXT, title TEXT, archived INTEGER NOT NULL DEFAULT 0);
CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL REFERENCES sessions(id), role TEXT NOT NULL,
  content TEXT, tool_call_id TEXT, tool_calls TEXT, tool_name TEXT, timestamp REAL NOT NULL, token_count INTEGER, finish_reason TEXT,
  reasoning TEXT, reasoning_details TEXT, platform_message_id TEXT, observed INTEGER DEFAULT 0, active INTEGER NOT NULL DEFAULT 1,
  compacted INTEGER NOT NULL DEFAULT 0);
INSERT INTO sessions VALUES ('20260801_100000_aa', 'telegram', 'u7', 'agent:telegram:7', 'hermes-4', NULL, 'You are Hermes.', NULL, 1785578400.0, NULL, NULL, 5, 120, NULL, 'Trip to Bergen', 0);
INSERT INTO sessions VALUES ('20260801_100100_bb', 'cli', NULL, NULL, 'hermes-4', '{"_delegate_from":"20260801_100000_aa"}', NULL, '20260801_100000_aa', 1785578460.0, 1785578500.0, 'done', 2, 0, '/home/dev', NULL, 1);
INSERT INTO sessions VALUES ('20260801_100200_cc', 'cli', NULL, NULL, NULL, '{"_branched_from":"20260801_100000_aa"}', NULL, '20260801_100000_aa', 1785578520.0, NULL, NULL, 1, 0, NULL, NULL, 0);
INSERT INTO messages (session_id, role, content, tool_calls, tool_call_id, tool_name, timestamp, token_count, finish_reason, reasoning, active, compacted) VALUES
  ('20260801_100000_aa', 'user', 'Which train goes to Bergen?', NULL, NULL, NULL, 1785578401.25, 6, NULL, NULL, 0, 1),
  ('20260801_100000_aa', 'assistant', NULL, '[{"id":"call_1","type":"function","function":{"name":"trains","arguments":"{\"to\":\"Bergen\"}"}}]', NULL, NULL, 1785578402.5, 9, 'tool_calls', 'Look it up.', 1, 0),
  ('20260801_100000_aa', 'tool', '{"train":"F4"}', NULL, 'call_1', 'trains', 1785578403.0, NULL, NULL, NULL, 1, 0),
  ('20260801_100000_aa', 'user', 'A question taken back', NULL, NULL, NULL, 1785578404.0, NULL, NULL, NULL, 0, 0),
  ('20260801_100000_aa', 'user', char(0) || 'json:[{"type": "text", "text": "And this ticket?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]', NULL, NULL, NULL, 1785578405.0, NULL, NULL, NULL, 1, 0),
  ('20260801_100100_bb', 'user', 'Check the price', NULL, NULL, NULL, 1785578461.0, NULL, NULL, NULL, 1, 0),
  ('20260801_100000_aa', 'assistant', 'It is valid on the F4.', NULL, NULL, NULL, 1785578406.0, 8, 'stop', NULL, 1, 0),
  ('20260801_100100_bb', 'assistant', '499 kroner.', NULL, NULL, NULL, 1785578462.0, NULL, 'stop', NULL, 1, 0),
  ('20260801_100200_cc', 'user', 'Another way', NULL, NULL, NULL, 1785578521.0, NULL, NULL, NULL, 1, 0);
