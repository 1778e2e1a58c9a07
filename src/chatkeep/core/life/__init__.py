"""The life of a session: what comes in, and what is taken back.

message_rules  sizes, shapes and names of messages
incoming    sessions, headers and messages from elsewhere, checked by every rule
dropping    beginning, forking, replacing and taking back: the requests, and their answers
compacting  erasing dropped lines for good
trashing    deleted sessions that can come back
people      people and their links to sessions, and the place in a history of several sessions
retention   rules for the sessions to archive, to move to the trash or to delete
"""
