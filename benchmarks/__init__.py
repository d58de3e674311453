"""Speed and memory, each measured beside its own baseline in the same run."""
