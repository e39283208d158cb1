"""Seeing through a model: a word on its way through it (`trace`), and the model as one file (`source`)."""
