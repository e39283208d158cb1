"""From a model to new text: rules for choosing (`sampling`), a loop that yields (`generator`), text (`streaming`)."""
