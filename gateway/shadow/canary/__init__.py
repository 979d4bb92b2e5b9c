"""Canary tasks: tasks of a suite, drawn to resemble live traffic and sent to both families. Pure but for `sources`.

In order: `plan` says what is asked, `mix` what live traffic is like, `design` gives every (length, form, task) its
chance, `draw` makes the draw of a number, `prompt` its prompt, `inflate` brings that to a length with the files of
`sources` and `distractors`, `request` is what to send, with the salt and the mark of `mark`. `pace` says when one is
due, `ledger` whether it may be sent, `controls` which known samples to score beside it. Sending is not here.
"""
