"""Optimal quotes for market makers: a problem file in, a lookup table out."""
