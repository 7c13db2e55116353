"""Recorded datasets of other formats, brought into LeRobot's."""
