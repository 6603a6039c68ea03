"""How a release reaches Cloud Run: ``deliver.sh`` moves images, and ``compare`` says whether it may."""
