"""One file per verb: read options, call the recipe, hand back its outcome."""
