"""Parquet files: one declared schema each, checked when written and when read."""
