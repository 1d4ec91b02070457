"""The science, at home in a notebook: no Textual, no printing, no threads of its own."""
