"""Deploy a release to Cloud Run: ``deliver.sh`` updates images, and ``compare`` checks first that the marts agree."""
