"""A checkpoint becomes a repository on the Hub."""
