"""How the tables came to be, one file a change, in the order of their revisions."""
