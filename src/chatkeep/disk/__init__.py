"""Files for the whole package: durable, private, without surprises.

private     a small file for its owner alone, replaced as a whole under a lock
own         opening a file of ours: regular, with one name
files       folders, flushes, stamps; a refusal of the system becomes a sentence
"""
