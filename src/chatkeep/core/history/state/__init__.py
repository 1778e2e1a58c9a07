"""The state of OpenAI's API in our messages.

conversation_ids    ids of conversations and items, and the sessions and messages behind them
conversation_items  the items of a conversation
stated_responses    responses built from messages, and the items that a request leaves to its server
"""
