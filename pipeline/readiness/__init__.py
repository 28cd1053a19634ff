"""Whether an agent may be scaled: four questions, each answered from what is recorded."""
