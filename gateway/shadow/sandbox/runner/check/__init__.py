"""How a candidate's program is checked by tests while it tries to forge their outcome.

`separate`: candidate and tests are two processes, and only plain values cross. `in_process`: both are in one.
"""
