"""Reference pages and pictures, made from the code: `python -m docs.build`."""
