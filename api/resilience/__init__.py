"""How the API goes on while a store is slow or away."""
