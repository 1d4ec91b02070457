"""Text, scale bars and frames printed over class averages: found, read and taken away."""

from cryocorr_tui.core.labels.filling import remove_labels
from cryocorr_tui.core.labels.finding import erase_labels, find_labels

__all__ = ["erase_labels", "find_labels", "remove_labels"]
