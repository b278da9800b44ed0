"""The feed over HTTP: its routes, how a page is read and filled, and what helps without a store."""
