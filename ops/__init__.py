"""What people run: the command line, the local servers and their supervision."""
