"""What of a folder travels into an output, and what stays behind: files, and above all code."""
