"""Text, scale bars and frames printed over class averages: found, read and taken away."""

from cryocorr_tui.core.labels.filling import remove_labels
from cryocorr_tui.core.labels.finding import find_labels

__all__ = ["find_labels", "remove_labels"]
