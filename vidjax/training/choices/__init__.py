"""Chooses what a configuration leaves open: the model, the length of a run, and how it fits the machine.

`model` chooses when the configuration is read, `platform` and `length` before the step is built, `memory` while it is
built. The choices are written to config.json and kept when the run resumes; see `kept`.
"""
