"""Threads of messages, from the way another program keeps them to sessions of ours.

`trees` reads conversations one by one, `branching` finds their branches, `steps` parts an answer with calls into
messages, and `numbering` cuts a long session into parts.
"""
