"""Soaking: broken files, tables and documents go to all that reads them."""
