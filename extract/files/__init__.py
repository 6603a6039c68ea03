"""Files that a person downloaded: opened, decoded, told apart by their columns, and read row by row.

A kind of file is one module with its columns and its record; ``read`` knows the kinds.
"""
