"""What answers flow: classical models, HTNet, ROI networks, and how they are trained and kept."""
