"""Tools that create the files that the package ships."""
