"""The Python client: the sessions of a server, from a program.

    from chatkeep import Client

    with Client("http://127.0.0.1:8000", token) as client:
        client.append("cli:default", {"role": "user", "content": "Hello"})
        client.window("cli:default").for_openai()

The rooms, top down:

    async_client       sync_client         one method for each verb, the same in both
    async_connection   sync_connection     requests, streams, pauses; the only rooms that know httpx's clients
    sending                                what httpx takes to send a call
    following                              where a client is in the feed of changes
    calls                                  each request as a value: what to send, how to read the answer
    messages                               what may be appended, as drafts

The `sync_` modules are made from the `async_` ones by `make client`: change those, and run it.
"""

from chatkeep.client.async_client import AsyncClient
from chatkeep.client.sync_client import Client

__all__ = ("AsyncClient", "Client")
