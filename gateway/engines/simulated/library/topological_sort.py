from collections.abc import Iterable, Mapping


def topological_sort(dependencies: Mapping[str, Iterable[str]]) -> list[str]:
    """Order the nodes so that each one comes after everything it depends on.

    `dependencies` maps a node to the nodes it needs. Raises ValueError if there is a cycle.
    """
    needs = {node: set(required) for node, required in dependencies.items()}
    for required in list(needs.values()):
        for node in required:
            needs.setdefault(node, set())
    order: list[str] = []
    ready = sorted(node for node, required in needs.items() if not required)
    while ready:
        node = ready.pop(0)
        order.append(node)
        del needs[node]
        for other, required in needs.items():
            if node in required:
                required.remove(node)
                if not required:
                    ready.append(other)
        ready.sort()
    if needs:
        raise ValueError("cycle among " + ", ".join(sorted(needs)))
    return order
