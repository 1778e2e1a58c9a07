"""The protocols of models' servers that Chatkeep records, one module each beside their common form.

speaking          a protocol: how its requests and answers are read
chat_completions  OpenAI's Chat Completions; `completions` and `folding` read them
anthropic         Anthropic's Messages: requests and answers
asides            a coding agent's requests for itself
items             OpenAI's Responses: items of requests and answers
item_folding      events of Responses folded into one answer
gemini            Google's Gemini: requests and answers
"""
