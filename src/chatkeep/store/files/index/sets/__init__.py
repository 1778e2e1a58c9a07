"""The sets of documents: for each label, exactly the documents that have it.

terms       the labels of a message          times      the bits of a time; the newest documents of a set
postings    the sets of one moment           lexicon    numbers of words; beginnings of words
tail        the newest messages, in memory   sealing    from the newest messages to rows
containers  sets as bytes
"""
