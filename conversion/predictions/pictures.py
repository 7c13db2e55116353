"""The files that pictures are written to, by an earlier name."""

from ..plots.picture_file import check_picture_format, figure_class_of_matplotlib, is_marked, metadata_for

__all__ = ["check_picture_format", "figure_class_of_matplotlib", "is_marked", "metadata_for"]
