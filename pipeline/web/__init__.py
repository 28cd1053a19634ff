"""The incident page: what a person opens from a page, to see and to answer."""
