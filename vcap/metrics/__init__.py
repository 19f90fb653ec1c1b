"""Functions of plain values that judge predictions."""
