"""The state of OpenAI's API over the sessions.

conversations     conversations and their items
registers         the places of kept responses
response_reading  kept responses, read and deleted
stated            requests made whole for a server without state
"""
