"""A page that is complete in itself: its style, its plots and the pieces it is put together from."""
