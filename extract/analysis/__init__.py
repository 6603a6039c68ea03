"""How analysts get data out of the warehouse: queries, exports, and the list of tables."""
