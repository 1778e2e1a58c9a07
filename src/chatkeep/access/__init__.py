"""Access: tokens, and the page sessions of signed-in browsers.

page_sessions   a browser's session, from a token or a sign-in link, revocable
tokens          names, scopes, prefixes; only hashes of the secrets are stored
"""
