"""Measure the pipeline: protocols, metrics, baselines, tables, the report."""
