Matrix = list[list[float]]


def multiply(left: Matrix, right: Matrix) -> Matrix:
    """The matrix product. Raises ValueError if the shapes do not fit."""
    if not left or not right or any(len(row) != len(right) for row in left):
        raise ValueError("the rows of the left matrix must be as long as the right one has rows")
    columns = list(zip(*right, strict=True))
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in left]


def transpose(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]
