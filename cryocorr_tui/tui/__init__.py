"""The app: every step by keyboard, over SSH, in tmux, with pictures."""
