"""Facts read from text: a title, the reasoning, a safe quotation.

openings    the first words for people
patching    a JSON merge patch
quoting     the words of others, safe to show
reasoning   thinking, parted from the answer
surrogates  halves of characters, joined or replaced
titles      a title for people
tool_calls  calls of tools, in any shape
unmarked    Markdown without its marks
"""
