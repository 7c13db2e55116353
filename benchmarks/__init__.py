"""What is measured, against what. See RESULTS.md for figures."""
