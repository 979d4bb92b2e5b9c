"""May the short family have these lengths? A decision from paired draws that holds whenever it is looked at. Pure.

`Policy` says what is asked, `decide` answers it with an exit code, and `Decision` carries all that a report prints.
Measured by `python -m tests.gateway.shadow.gate.measure` (its worlds and its figures stand in that file).
"""
