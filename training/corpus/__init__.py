"""The material that the name tagger learns from: pools of values, templates, silver labels."""
