"""Finding messages without an index: a query becomes terms, and messages are matched and ranked.

highlighter  the piece of a message with the hits
irregular    irregular inflections of English
marks        words with the marks beside them
pages        the cursor of a further page
query        the typed text as terms
ranker       the order of the matches
search       the filters of a search, and its answer
stems        words as stems
words        texts as folded words
"""
