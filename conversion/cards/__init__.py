"""The card of a checkpoint that exists: its example is carried out, and what it printed stands in the card."""
