"""Transactions from elsewhere. A file is checked as a whole before the data folder is touched."""
