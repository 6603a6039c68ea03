"""The analyst's way out of the warehouse: questions, exports, and what there is to ask for."""
