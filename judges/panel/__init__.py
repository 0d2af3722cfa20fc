"""What a judge is, which judges there are, and a panel of them over one prompt."""
