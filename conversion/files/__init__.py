"""Files beside the weights: which there are, how they are read and checked, and single files of results."""
