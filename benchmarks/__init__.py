"""Benchmarks: each figure beside a bare loop over the same data in the same run. Nothing here is a test."""
