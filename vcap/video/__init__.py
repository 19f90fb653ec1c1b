"""Probing, decoding, sampling and writing videos."""
