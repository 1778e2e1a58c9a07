"""Finding messages, without an index: a query becomes terms, terms are matched and ranked.

excerpts   the piece of a message that shows the hits
ranking    what comes first
search     what is asked and what is found
query      what was typed, as terms
words      texts as folded words        stems   words as stems
"""
