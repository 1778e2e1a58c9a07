"""The verbs of a client as values: each call has its request, and reads its answer.

session_calls  sessions, their messages, searches, figures, the model
people_calls   people, and their links to sessions
"""
