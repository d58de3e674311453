"""Several raters of the same patients: agreement, mistakes, targets, and a model beside them."""
