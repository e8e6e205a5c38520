"""Choose what a configuration leaves open: the model, the length of a run, and how the run fits the machine.

`model` chooses when the configuration is read, `platform` and `length` before the step is built, and `memory` while the
step is built. The choices are written to config.json and kept when the run resumes; see `kept`.
"""
