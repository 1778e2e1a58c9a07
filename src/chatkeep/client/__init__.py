"""The Python client: the sessions of a server, from a program.

    from chatkeep import Client

    with Client("http://127.0.0.1:8000", token) as client:
        client.append("cli:default", {"role": "user", "content": "Hello"})
        client.window("cli:default").for_openai()

The rooms, top down:

    async_client       sync_client         one method for each verb, the same in both
    async_connection   sync_connection     requests, streams, pauses; only these two know httpx's clients
    calls                                  each verb as a value: its request, and reading its answer
    sending                                calls as arguments of httpx
    following                              the position of a client in the feed of changes
    exchange                               a call, its errors and retries, without the network
    messages                               dicts and message objects as drafts

The `sync_` modules are made from the `async_` ones by `make client`: change those, and run it.
"""

from chatkeep.client.async_client import AsyncClient
from chatkeep.client.sync_client import Client

__all__ = ("AsyncClient", "Client")
