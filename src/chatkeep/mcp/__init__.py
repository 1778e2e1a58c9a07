"""The MCP server: agents look up stored sessions, and add to them, by the Model Context Protocol.

    shown            messages, sessions and hits as bounded JSON
    tools            the tools: their arguments, and the use cases of `sessions` behind them
    prompts          the prompts, in words
    handlers         all of it as a server of the protocol's Python SDK, for one caller
    doors            the two ways in: stdin and stdout, and a request of HTTP
    agent_settings   the server as an entry in the settings of other programs

Only `handlers` and `doors` know the SDK. A caller has its sessions, confined to its prefix, and a check of scopes; each
tool names its scope. So both doors grant what the HTTP API grants.

Every answer is JSON of at most `max_chars` characters. A string in JSON has an unforgeable end, and the first field of
an answer says where the stored text is: data to quote, no instructions to follow.
"""
