"""The analyses: one file each, a function from a model and data to a result that plots, saves and converts."""
