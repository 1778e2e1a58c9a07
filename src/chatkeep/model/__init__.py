"""Clients of model servers, and the storage of their answers.

endings      what chat and recording share at the end of an answer
chat         one turn: store the question, ask the model, store the answer
recording    match a request with a stored session and append its new messages
upstream     ask a model's server through the openai client
hearing      parse an answer as it arrives, a bounded piece in each turn of the event loop
connections  pooled HTTP/1.1 connections for bytes passed on unchanged
framing      find the end of a body, and unpack it within bounds
asked        the messages of a request
places       the place of a request in the store
protocols    the recorded protocols, by name
tokenizers   count the tokens of a text
prices       the prices of models, from a package
"""
