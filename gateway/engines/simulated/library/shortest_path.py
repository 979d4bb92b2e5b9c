import heapq
from collections.abc import Mapping

Graph = Mapping[str, Mapping[str, float]]


def shortest_path(graph: Graph, start: str, goal: str) -> tuple[float, list[str]]:
    """Dijkstra: the cheapest way from `start` to `goal`, with its cost. Weights must not be negative.

    Raises KeyError if there is no way.
    """
    queue: list[tuple[float, str, list[str]]] = [(0.0, start, [start])]
    done: set[str] = set()
    while queue:
        cost, node, path = heapq.heappop(queue)
        if node == goal:
            return cost, path
        if node in done:
            continue
        done.add(node)
        for neighbour, weight in graph.get(node, {}).items():
            if neighbour not in done:
                heapq.heappush(queue, (cost + weight, neighbour, [*path, neighbour]))
    raise KeyError(f"no way from {start} to {goal}")
