"""Words of all families beside the names under which a value was published, which stay on disk."""


def alias(published: str) -> property:
    """An attribute that reads and writes the one with the published name."""
    return property(lambda self: getattr(self, published), lambda self, value: setattr(self, published, value))
