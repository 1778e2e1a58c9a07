"""Files as everything here needs them: durable, private, without surprises.

private     a small file for its owner alone, replaced as a whole under a lock
own         what makes a file ours
files       folders, flushes, stamps; what the system refuses becomes a sentence
"""
