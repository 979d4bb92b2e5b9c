from collections.abc import Sequence


def binary_search(values: Sequence[int], target: int) -> int:
    """Index of the first `target` in a sorted sequence, or -1."""
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] < target:
            low = middle + 1
        else:
            high = middle
    return low if low < len(values) and values[low] == target else -1
