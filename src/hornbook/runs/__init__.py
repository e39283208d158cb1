"""The run folder: what was asked, what happened and what was learned, in files that a person can read.

Nothing in a run can execute: JSON, JSON Lines, CSV, pictures, Markdown and safetensors, with a hash of each file
that training goes on from. No training in here, and no torch until tensors are saved or loaded.
"""
