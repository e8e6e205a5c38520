"""Compiling a step for chips that are not there: memory, estimated time, collectives."""
