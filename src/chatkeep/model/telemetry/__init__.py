"""Conversations as instrumentation observes them: values of spans and log records, read and stored as messages."""
