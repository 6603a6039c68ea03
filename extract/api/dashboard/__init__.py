"""What the page for people asks for: its two screens, each limited to what it shows, read and kept."""
