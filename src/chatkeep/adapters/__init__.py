"""Adapters: the session stores of agent frameworks, kept by Chatkeep. One module for each framework.

    from chatkeep import Client
    from chatkeep.adapters.openai_agents import ChatkeepSession

    session = ChatkeepSession("user:alice", Client("http://127.0.0.1:8000", token))

    adk             Agent Development Kit: BaseSessionService
    ai_sdk          AI SDK: the messages of a user interface
    chainlit        Chainlit: BaseDataLayer
    claude          Claude Agent SDK: SessionStore
    openai_agents   OpenAI Agents SDK: Session
    langchain       LangChain: BaseChatMessageHistory
    pydantic_ai     Pydantic AI: the message history of a run
    llama_index     LlamaIndex: BaseChatStore
    backing         where the sessions are: a client, or a workspace in this process
    exact           values of a framework as messages, and back

A module loads its framework; this package loads none. An adapter keeps the item of a framework exactly, and what is
said in it where Chatkeep's searches, lists and windows look. Taking back is an append (see `core.standing`), so nothing
that another writer said is lost.
"""
