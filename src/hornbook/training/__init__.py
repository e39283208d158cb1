"""How a model learns: the recipe, one step of it, the loop around the step, and what is measured on the way."""
