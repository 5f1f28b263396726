"""One module per command; `program` puts them together."""
