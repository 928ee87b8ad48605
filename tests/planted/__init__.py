"""Planted faults: one source change for each promise of safety, and the test that must then fail."""
