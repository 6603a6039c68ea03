"""What an analyst asks for and takes out."""
