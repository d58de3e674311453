"""The commands `benchmark`, `fit`, `grade`, `explore`, `profile`, `compare` and `fuse`."""
