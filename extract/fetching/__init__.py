"""What to ask the sources for, and what they answered."""
