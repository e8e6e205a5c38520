"""What vidjax chooses where a configuration leaves it open: the model, the length of a run, how it fits the machine.

`model` and `platform` are asked before anything is opened, `length` once the videos are counted, `memory` once the step
can be built.
What was chosen is written to config.json, and used again when the run goes on: see `kept`.
"""
