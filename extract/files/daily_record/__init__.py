"""The exchange's daily record of its equity market (bhavcopy), in its three forms: each file is one session.

A record has thousands of rows, and a person has thousands of records. So a file without faults is read by columns,
which is fast. If anything is wrong, ``by_rows`` reads the file row by row, and names the faults.
"""
