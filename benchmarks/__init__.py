"""Measurements: ``python -m benchmarks [NAME…] [--quick]``, or ``make bench`` for all."""
