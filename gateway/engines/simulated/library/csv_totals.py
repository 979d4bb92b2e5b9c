import csv
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal


def totals_by(lines: Iterable[str], group: str, amount: str) -> dict[str, Decimal]:
    """Sum the column `amount` for each value of the column `group` of a CSV with a header line."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for row in csv.DictReader(lines):
        totals[row[group]] += Decimal(row[amount])
    return dict(totals)
