"""Where the pipeline runs: the cloud, the container, the laptop."""
