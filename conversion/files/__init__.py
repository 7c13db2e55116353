"""Single files: how they are read, written and told apart."""
