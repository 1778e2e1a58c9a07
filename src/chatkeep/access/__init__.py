"""Who may come in: tokens, and the browsers that a token signed in.

page_sessions   a browser's session, made from a token, revocable
tokens          names, scopes, prefixes; secrets hashed at rest
"""
