"""``make soak``: exercises that harm the extractor, and judge what it has kept."""
