"""An answer of a model's server on its way: what has come of it, and whether it is whole.

tape            its bytes, in whatever shape they come
answer_values   its JSON values, from events or from one body
judgement       whether it is whole
"""
