"""Files beside the weights, and those of results: which there are, how they are read, checked, guarded and written."""
