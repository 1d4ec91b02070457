"""cryocorr-tui: compare cryo-EM 2D class averages with each other in a terminal."""

__version__ = "0.1.0"
