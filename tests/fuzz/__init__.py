"""Fuzzing: what strangers may hand over, changed at random, is refused by a named error or gives a right answer.

`make fuzz` runs all targets for ten minutes; test_fuzzing.py a few cases of each with every test run.
"""
