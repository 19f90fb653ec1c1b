"""One command line for video captioning and text-video search."""

__version__ = "0.1.0"
