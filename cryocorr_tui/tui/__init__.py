<<<<<<< HEAD
"""The app: every step by keyboard, over SSH, in tmux."""
=======
"""The app in the terminal."""
>>>>>>> graphics
