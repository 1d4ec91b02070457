"""Parts of screens: each shows a model object and says what the user did to it."""
