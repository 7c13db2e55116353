"""Merging adapters into any model, key by key."""
