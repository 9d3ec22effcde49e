"""Sources: from the name of a source to pinned files, and from files to rows."""
