"""One adapter a server and noun; nothing else imports a server's client library."""
