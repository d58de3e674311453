"""What every package stands on: errors, files, tables, photographs, progress, workers, provenance.

`common` imports none of the other packages.
"""
