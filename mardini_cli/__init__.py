"""mardini: makes the frames that a clip lacks, by masked auto-regressive planning and diffusion."""

__version__ = "0.1.0"
