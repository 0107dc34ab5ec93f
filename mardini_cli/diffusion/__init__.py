"""Noise schedule and sampler: tensor arithmetic that knows no model."""
