"""What a preview is: its id and its states, who may run it, its names, its errors, what is known of it."""
