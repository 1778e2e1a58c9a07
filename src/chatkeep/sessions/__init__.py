"""The use cases: all operations on sessions, the same behind every interface.

sessions      the verbs, with the rules common to all stores
message_ids   ids and the clock, for messages without them
"""
