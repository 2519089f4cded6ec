"""Pictures as pure functions of a state: what the explorers of `widgets` show, drawn with Pillow and numpy alone."""
