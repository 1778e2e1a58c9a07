"""Usage: the tokens of answers and their price.

token_counts    the counts of every protocol in one form
spending        calls, prices, and the report
"""
