"""One reader for each dataset, and what several of them share."""
