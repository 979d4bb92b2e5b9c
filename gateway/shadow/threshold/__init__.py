"""Up to which prompt length should the short family answer? Quality, cost and latency together. Pure.

`recommend` takes paired differences of tasks, live prompts, costs and constraints, and gives a `Recommendation`.
Measured by `python -m tests.gateway.shadow.threshold.measure` (its worlds and its figures stand in that file).
"""
