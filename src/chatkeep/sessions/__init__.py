"""The use cases: all operations on sessions, the same behind every interface.

sessions      the verbs, with the rules common to all stores
message_ids   ids and the clock, for messages without them
arrivals      imports, of many sessions at once
trash_can     deleted sessions that can come back
figures       statistics and changes under some prefixes
people_file   which sessions belong to whom, in a file of the workspace
confinement   the keys within reach of a caller
lifetimes     the end of many sessions: what a compaction erases
retaining     the sessions that go by retention rules
"""
