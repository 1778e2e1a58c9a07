-- The tables of opencode 1.x that sessions are in; made by hand.
CREATE TABLE project (id text PRIMARY KEY, worktree text NOT NULL);
CREATE TABLE session (id text PRIMARY KEY, project_id text NOT NULL, parent_id text, slug text NOT NULL, directory text NOT NULL,
  title text NOT NULL, version text NOT NULL, time_created integer NOT NULL, time_updated integer NOT NULL, time_archived integer, model text);
CREATE TABLE message (id text PRIMARY KEY, session_id text NOT NULL, time_created integer NOT NULL, time_updated integer NOT NULL, data text NOT NULL);
CREATE TABLE part (id text PRIMARY KEY, message_id text NOT NULL, session_id text NOT NULL, time_created integer NOT NULL, time_updated integer NOT NULL, data text NOT NULL);
INSERT INTO session VALUES ('ses_1', 'p', NULL, 'brave-otter', '/home/dev/app', 'Listing files', '1.2.3', 1784278800000, 1784278809000, NULL, '{"id":"m","providerID":"x"}');
INSERT INTO session VALUES ('ses_2', 'p', 'ses_1', 'calm-otter', '/home/dev/app', 'Child session - 2026-07-17', '1.2.3', 1784278803000, 1784278804000, 1784278900000, NULL);
INSERT INTO message VALUES ('msg_1', 'ses_1', 1784278801000, 1784278801000, '{"role":"user","time":{"created":1784278801000},"agent":"build"}');
INSERT INTO message VALUES ('msg_2', 'ses_1', 1784278802000, 1784278808000, '{"role":"assistant","time":{"created":1784278802000,"completed":1784278808000},"parentID":"msg_1","modelID":"claude-sonnet-4-5","providerID":"anthropic","tokens":{"input":10,"output":20,"reasoning":0,"cache":{"read":0,"write":0}},"cost":0.01,"finish":"stop"}');
INSERT INTO message VALUES ('msg_3', 'ses_2', 1784278803000, 1784278803000, '{"role":"user","time":{"created":1784278803000}}');
INSERT INTO message VALUES ('msg_4', 'ses_2', 1784278804000, 1784278804000, '{"role":"assistant","time":{"created":1784278804000},"error":{"name":"MessageAbortedError"}}');
INSERT INTO part VALUES ('prt_01', 'msg_1', 'ses_1', 1, 1, '{"type":"text","text":"List the files"}');
INSERT INTO part VALUES ('prt_02', 'msg_1', 'ses_1', 1, 1, '{"type":"file","mime":"image/png","filename":"a.png","url":"data:image/png;base64,iVBORw0KGgo="}');
INSERT INTO part VALUES ('prt_03', 'msg_2', 'ses_1', 1, 1, '{"type":"step-start","snapshot":"abc"}');
INSERT INTO part VALUES ('prt_04', 'msg_2', 'ses_1', 1, 1, '{"type":"reasoning","text":"Use the tool.","time":{"start":1784278802000}}');
INSERT INTO part VALUES ('prt_05', 'msg_2', 'ses_1', 1, 1, '{"type":"text","text":"One moment."}');
INSERT INTO part VALUES ('prt_06', 'msg_2', 'ses_1', 1, 1, '{"type":"tool","callID":"call_1","tool":"list","state":{"status":"completed","input":{"path":"."},"output":"a.py\nb.py","title":".","metadata":{"count":2},"time":{"start":1784278803000,"end":1784278804000}}}');
INSERT INTO part VALUES ('prt_07', 'msg_2', 'ses_1', 1, 1, '{"type":"tool","callID":"call_2","tool":"read","state":{"status":"error","input":{"path":"c.py"},"error":"File not found","time":{"start":1784278804000,"end":1784278805000}}}');
INSERT INTO part VALUES ('prt_08', 'msg_2', 'ses_1', 1, 1, '{"type":"text","text":"There are two files: a.py and b.py."}');
INSERT INTO part VALUES ('prt_09', 'msg_2', 'ses_1', 1, 1, '{"type":"step-finish","reason":"stop","cost":0.01,"tokens":{"input":10,"output":20}}');
INSERT INTO part VALUES ('prt_10', 'msg_3', 'ses_2', 1, 1, '{"type":"text","text":"Count them"}');
