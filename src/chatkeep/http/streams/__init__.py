"""Answers that go on: the feed, and what a model says while it says it.

followers changes, to whoever follows them
passage   a recorded answer: to the client and onto the tape
responses server-sent events as a response
relay     a request that goes on to the model's server
"""
