"""Conversations with a model, as messages: turns, windows, and answers that arrive in pieces.

tape         a streamed answer, and whether it is whole
folding      chunks folded into one answer   recognition   the stored session behind a request
completions  requests and answers of Chat Completions      windows  as much history as fits
mending      messages made storable          shapes        history in a provider's shape
joining      pieces of content joined        turns         a question with its answers and calls
contents     content as it arrives           masked_events a secret masked in a stream of events
"""
