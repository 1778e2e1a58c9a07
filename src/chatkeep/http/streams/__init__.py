"""Streamed answers: the feed of changes, and a model's answer while it arrives.

followers sends changes to the readers of the feed
passage   sends a model's answer to the client, and records it on a tape
responses server-sent events as a response
relay     forwards a request to the model's server
"""
