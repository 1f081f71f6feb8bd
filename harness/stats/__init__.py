"""Statistics as pure functions of numbers: no I/O, no other stage of the harness.

The unit of inference is the run. Modules are named for the question they answer; each
docstring gives units, shapes, errors and the source of its formula.
"""
