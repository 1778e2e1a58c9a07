"""Finding messages without an index: a query becomes terms, and messages are matched and ranked.

excerpts   the piece of a message with the hits
ranking    the order of the matches
search     the filters of a search, and its answer
query      the typed text as terms
words      texts as folded words        stems   words as stems
"""
