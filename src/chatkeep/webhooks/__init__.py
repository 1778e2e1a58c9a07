"""Webhooks: other programs learn of changes by signed requests, while a server runs.

telling     the loop of one webhook: from its place in the feed, change by change
posting     one request, to no private address unless allowed
letters     the place of a webhook in the feed, and the requests that nobody took

The place moves on behind a request that was taken, or that is kept as a *dead letter*. So a crash repeats a request
and skips none, and the id of the repetition is the same.
"""
