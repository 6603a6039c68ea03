"""Files that a person downloaded: opened, decoded, identified by their columns, and read row by row.

Each kind of file has a module with its columns and its record; ``read`` lists the kinds.
"""
