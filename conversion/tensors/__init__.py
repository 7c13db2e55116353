"""Reading, planning, merging, writing and verifying tensors; knows no family."""
