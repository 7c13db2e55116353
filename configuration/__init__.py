"""Configuration classes: what can be set, its default, and what is refused."""
