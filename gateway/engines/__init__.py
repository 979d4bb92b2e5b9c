"""Model servers that are started by this package itself."""
