"""What a topic is, and all of them."""
