"""What the evidence in the store says, for people: rates, paired differences, what was left out. Pure.

`Collector` takes samples with their runs as the store gives them and makes a `Report` of them; `document` is that as
plain values, which `--json` prints and `page` draws from. Kinds of evidence are never pooled, and families are compared
on pairs only.
"""
