"""What every call goes through before its route."""
