"""Feature stores on disk."""
