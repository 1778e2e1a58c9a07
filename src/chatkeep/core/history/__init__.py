"""Conversations with a model, as messages: turns, windows, and answers that arrive in pieces.

completions     requests and answers of Chat Completions
contents        a content as it arrives
folding         chunks folded into one answer
joining         lossless joins of pieces
masked_events   a secret masked in a stream of events
mending         messages made storable
protocols/      the protocols that are recorded
recognition     the stored session behind a request
shapes          a history in a provider's shape
state/          the state of OpenAI's API
tape/           a streamed answer, and whether it is whole
trimming        the stored messages that a request leaves out
turns           a question with its answers and calls
windows         as much history as fits
"""
