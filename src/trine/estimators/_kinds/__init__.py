"""Parts of the search for kinds of x that do not exist yet."""
