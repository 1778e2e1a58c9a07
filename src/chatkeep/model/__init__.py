"""Servers of models: asking them, and keeping what they answer.

chat         one turn: the question is stored, the model is asked, the answer is stored
recording    a conversation that passes by: which session it continues, what of it is new
upstream     a model's server, asked by way of its client
connections  connections to a model's server, for what passes unchanged
framing      where a body ends, and how it is unpacked
asked        what a request asks a model, as messages
tokenizers   how many tokens a text takes
"""
