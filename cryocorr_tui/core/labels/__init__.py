"""Text, scale bars and frames printed over class averages: found, read and taken away."""

from cryocorr_tui.core.labels.filling import remove_labels
from cryocorr_tui.core.labels.finding import Labels, erase_labels, find_labels

__all__ = ["Labels", "erase_labels", "find_labels", "remove_labels"]
