"""`vlahub serve`: a checkpoint behind the protocols of the clients that there are."""
