"""Chainlit: a `BaseDataLayer` kept by Chatkeep, for `@chainlit.data_layer`.

layer               the data layer
directory           users and threads as sessions: their headers, and lists of them
thread_entries      what is in a thread: steps, feedback, elements
element_contents    the content of elements

A thread is a session. What users, assistants and the system say are its messages; other steps, feedback and elements
are events of it. A user is a session, too, an archived one without messages.
"""

from chatkeep.adapters.chainlit.layer import ChatkeepDataLayer

__all__ = ["ChatkeepDataLayer"]
