"""Pictures in a terminal: what it can draw, and the bytes and cells that draw them."""
