"""Figures and tables, drawn from the Parquet files of finished stages alone."""
