"""The derived stores, one adapter each, all of the same shape (`base`)."""
