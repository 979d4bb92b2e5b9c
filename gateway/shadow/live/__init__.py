"""The shadow process beside a gateway: what the tap hands over becomes evidence, and answers are scored.

`start` is the gateway's side: it starts the process and ends it, and `keeper` starts it again if it dies. Inside,
`receiver` takes what gateways send, `intake` makes samples of it (`answer` reads what the model said), and `process`
puts all parts together: the store, what deletes what is too old (`expiring`), the sender of mirrored requests and
canaries, and a worker that scores.
"""
