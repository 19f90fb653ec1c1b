"""Records, manifests and data sets."""
