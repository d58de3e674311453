"""The image branch: HTNet, its inputs, training and explanation."""
