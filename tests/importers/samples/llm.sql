-- The tables of llm 0.36 that conversations are in, both generations in one file; made by hand.
CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT);
CREATE TABLE attachments (id TEXT PRIMARY KEY, type TEXT, path TEXT, url TEXT, content BLOB);
CREATE TABLE prompt_attachments (response_id TEXT, attachment_id TEXT, "order" INTEGER);
CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT, options_json TEXT, response TEXT,
  response_json TEXT, conversation_id TEXT, duration_ms INTEGER, datetime_utc TEXT, input_tokens INTEGER, output_tokens INTEGER,
  token_details TEXT, schema_id TEXT, resolved_model TEXT, reasoning TEXT);
CREATE TABLE fragments (id INTEGER PRIMARY KEY, hash TEXT, content TEXT, datetime_utc TEXT, source TEXT);
CREATE TABLE prompt_fragments (response_id TEXT, fragment_id INTEGER, "order" INTEGER);
CREATE TABLE system_fragments (response_id TEXT, fragment_id INTEGER, "order" INTEGER);
CREATE TABLE tool_calls (id INTEGER PRIMARY KEY, response_id TEXT, tool_id INTEGER, name TEXT, arguments TEXT, tool_call_id TEXT);
CREATE TABLE tool_results (id INTEGER PRIMARY KEY, response_id TEXT, tool_id INTEGER, name TEXT, output TEXT, tool_call_id TEXT, instance_id INTEGER, exception TEXT);
CREATE TABLE messages (hash TEXT PRIMARY KEY, parent_hash TEXT, role TEXT, provider_metadata TEXT);
CREATE TABLE parts (id INTEGER PRIMARY KEY, message_hash TEXT, position INTEGER, type TEXT, tool_name TEXT, text TEXT, payload TEXT);
CREATE TABLE threads (id TEXT PRIMARY KEY, name TEXT, tip_message_hash TEXT, forked_from TEXT, datetime_utc TEXT);
CREATE TABLE turns (id TEXT PRIMARY KEY, thread_id TEXT, parent_message_hash TEXT, tip_message_hash TEXT, model TEXT, resolved_model TEXT,
  options_json TEXT, schema_id TEXT, input_tokens INTEGER, output_tokens INTEGER, token_details TEXT, duration_ms INTEGER, datetime_utc TEXT, response_json TEXT);
INSERT INTO conversations VALUES ('01conv', 'Weather', 'gpt-4o');
INSERT INTO attachments VALUES ('att1', 'image/png', NULL, NULL, x'89504e47'), ('att2', 'audio/wav', NULL, 'https://example.org/a.wav', NULL);
INSERT INTO fragments VALUES (1, 'h', 'A long document.', '2026-01-01', 'doc.txt'), (2, 'i', 'Be terse.', '2026-01-01', NULL);
INSERT INTO responses VALUES ('01r1', 'gpt-4o', 'What is the weather?', 'You know the weather', NULL, '{"temperature":0.5}', '', NULL, '01conv', 12, '2026-01-01T10:00:00+00:00', 11, 4, '{"cached":1}', NULL, NULL, 'Ask the tool.');
INSERT INTO responses VALUES ('01r2', 'gpt-4o', '', 'You know the weather', NULL, '{}', 'It rains.', NULL, '01conv', 13, '2026-01-01T10:00:05+00:00', 20, 3, NULL, NULL, NULL, NULL);
INSERT INTO responses VALUES ('01r3', 'gpt-4o', 'Sum it up', NULL, NULL, '{}', 'A document.', NULL, NULL, 14, '2026-01-01T11:00:00+00:00', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO tool_calls VALUES (1, '01r1', 1, 'weather', '{"city": "Oslo"}', 'call_1');
INSERT INTO tool_results VALUES (1, '01r2', 1, 'weather', 'rain', 'call_1', NULL, NULL);
INSERT INTO prompt_fragments VALUES ('01r3', 1, 0);
INSERT INTO system_fragments VALUES ('01r3', 2, 0);
INSERT INTO prompt_attachments VALUES ('01r3', 'att1', 0), ('01r3', 'att2', 1);
INSERT INTO messages VALUES ('b2:a', NULL, 'system', NULL), ('b2:b', 'b2:a', 'user', NULL), ('b2:c', 'b2:b', 'assistant', '{"id":"x"}'),
  ('b2:d', 'b2:c', 'tool', NULL), ('b2:e', 'b2:d', 'assistant', NULL), ('b2:f', 'b2:c', 'user', NULL), ('b2:g', 'b2:f', 'assistant', NULL);
INSERT INTO parts VALUES (1, 'b2:a', 0, 'text', NULL, 'You are terse', NULL);
INSERT INTO parts VALUES (2, 'b2:b', 0, 'text', NULL, NULL, '{"text_ref":[{"literal":"About: "},{"fragment":1}]}');
INSERT INTO parts VALUES (3, 'b2:b', 1, 'attachment', NULL, NULL, '{"attachment":{"id":"att1"}}');
INSERT INTO parts VALUES (4, 'b2:c', 0, 'reasoning', NULL, 'Two tools are needed.', NULL);
INSERT INTO parts VALUES (5, 'b2:c', 1, 'tool_call', 'add', NULL, '{"name":"add","arguments":{"a":1},"tool_call_id":"t1"}');
INSERT INTO parts VALUES (6, 'b2:c', 2, 'tool_call', 'sub', NULL, '{"name":"sub","arguments":{"a":2},"tool_call_id":"t2"}');
INSERT INTO parts VALUES (7, 'b2:d', 0, 'tool_result', 'add', NULL, '{"name":"add","output":"2","tool_call_id":"t1"}');
INSERT INTO parts VALUES (8, 'b2:d', 1, 'tool_result', 'sub', NULL, '{"name":"sub","output":"1","tool_call_id":"t2","exception":"ValueError"}');
INSERT INTO parts VALUES (9, 'b2:e', 0, 'text', NULL, 'Two and one.', NULL);
INSERT INTO parts VALUES (10, 'b2:f', 0, 'text', NULL, 'Never mind', NULL);
INSERT INTO parts VALUES (11, 'b2:g', 0, 'text', NULL, 'As you wish.', NULL);
INSERT INTO threads VALUES ('01thr', 'About', 'b2:e', NULL, '2026-02-01 10:00:00+00:00'), ('01frk', 'About', 'b2:g', '01thr', '2026-02-01 11:00:00+00:00');
INSERT INTO turns VALUES ('01t1', '01thr', 'b2:b', 'b2:c', 'gpt-5', 'gpt-5-x', NULL, NULL, 10, 5, NULL, 9, '2026-02-01T10:00:00+00:00', NULL);
INSERT INTO turns VALUES ('01t2', '01thr', 'b2:d', 'b2:e', 'gpt-5', 'gpt-5-x', NULL, NULL, 30, 4, '{"cached":9}', 9, '2026-02-01T10:00:07+00:00', NULL);
INSERT INTO turns VALUES ('01t3', '01frk', 'b2:f', 'b2:g', 'gpt-5', 'gpt-5-x', NULL, NULL, 12, 4, NULL, 9, '2026-02-01T11:00:00+00:00', NULL);
