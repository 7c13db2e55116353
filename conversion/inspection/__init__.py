"""`vlahub inspect`: what a checkpoint, a run or a published repository holds, from headers and JSON files alone."""
