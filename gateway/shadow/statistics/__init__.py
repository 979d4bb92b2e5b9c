"""What verdicts allow us to say: pass@k, intervals, paired differences, sequences. Pure, and the standard library only.

Two estimands, never mixed. *This suite*: its tasks are fixed, only the completions are random. *Tasks like these*: the
tasks are a sample too, so one task is one observation, however many completions it has.

Measured by `python -m tests.gateway.shadow.coverage` (its settings and its figures stand in that file).
"""
