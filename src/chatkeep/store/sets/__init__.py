"""The sets of documents, as every index has them: for each label, exactly the documents that have it.

terms       the labels of a message          times      the bits of a time; the newest documents of a set
tail        the newest messages, in memory   blocks     the documents of a label, block by block
containers  sets as bytes                    pairs      pairs of words as bytes
"""
