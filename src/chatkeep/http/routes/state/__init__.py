"""The state of OpenAI's API.

conversation_routes  conversations and their items
item_pages           their items as a list
response_routes      responses kept for a server without state
"""
