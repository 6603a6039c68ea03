"""One module for each place that bars come from: it turns the place's answers and errors into ours, nothing else."""
