"""What predictions of shapes alone are made with."""

PROMPT = 20  # tokens of a prompt: a short instruction


def robot_statistics(action_dim: int, state_dim: int) -> dict:
    """Statistics of a data set of that many dimensions."""
    ranges = {"action": action_dim, "proprio": state_dim}
    return {"data": {name: {"q01": [-1.0] * size, "q99": [1.0] * size} for name, size in ranges.items()}}
