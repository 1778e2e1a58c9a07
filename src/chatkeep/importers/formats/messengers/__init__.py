"""Importers of the exports of messengers, one module each: chats between people, and with bots."""
