"""The search engine: from a query to sets of documents, and from these to the messages of an answer.

searching   the way of a query          planner     the sets of its terms
scope       the filters as a set        collector   the newest of a set; counts
candidates  likely matches, scored once pool        those that may be in the answer
proof       likely matches, read        port        the questions to an index
tuning      the few numbers, each with its reason
"""
