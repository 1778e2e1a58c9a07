"""The state of OpenAI's API.

conversation_routes  conversations and their items
response_routes      responses kept for a server without state
"""
