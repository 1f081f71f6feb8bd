"""One module a kind of fault; each has a `FAULT`."""
