"""The sets of documents in this index: for each label, exactly the documents that have it (see `chatkeep.store.sets`).

postings    the sets of one moment           lexicon    numbers of words; beginnings of words
names       the names of sessions            sealing    from the newest messages to rows
selections  the sessions of a filter         erasing    words that no message has any more
"""
