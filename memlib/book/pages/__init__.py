"""One file a page: its claims, what it shows, what it concludes."""
