"""Reading rows of user files, and writing files that are whole or absent."""
