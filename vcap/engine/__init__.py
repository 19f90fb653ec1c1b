"""Everything that joins domains, and everything with a clock or a disk."""
