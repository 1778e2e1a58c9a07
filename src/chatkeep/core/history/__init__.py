"""What was said with a model, as messages: turns, windows, and answers that come in pieces.

tape         an answer that streams, as it is kept
folding      events as one answer            recognition   which session a request continues
completions  requests and answers of Chat Completions      windows  as much history as fits
mending      what cannot be stored as it is  shapes        valid for a provider
joining      pieces of content as one        turns         what belongs together
"""
