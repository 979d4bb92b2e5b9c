"""What shadow-eval sends through the gateway: copies of matched live requests, and canary tasks.

`client` asks one request, `served` says how a model is served, `spending` keeps a day's tokens, `writing` brings
results to the store without ever making anyone wait, `mirrors` and `canaries` decide what is asked.
"""

from __future__ import annotations

from gateway.shadow.sending.canaries import Canaries
from gateway.shadow.sending.client import Answer, GatewayClient
from gateway.shadow.sending.mirrors import Matched, Mirrors
from gateway.shadow.sending.served import served_of
from gateway.shadow.sending.spending import Spending
from gateway.shadow.sending.writing import StoreWriter

__all__ = [
    "Answer",
    "Canaries",
    "GatewayClient",
    "Matched",
    "Mirrors",
    "Spending",
    "StoreWriter",
    "served_of",
]
