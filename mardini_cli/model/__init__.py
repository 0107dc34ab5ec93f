"""The networks: planner, denoiser, autoencoders; they know no files and no sampler."""
