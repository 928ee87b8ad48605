"""Benchmarks: our services beside the peers they are compared with. Run them as modules (benchmarks/README.md)."""
