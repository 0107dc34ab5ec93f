"""Training: clips and photographs in, weights out."""
