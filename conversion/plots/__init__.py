"""How pictures look and are written; knows no family."""
