"""Points of other tools: Emotrics, imglab, true points of datasets."""
