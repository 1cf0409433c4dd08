"""What a person may ask of an account: to be forgotten, and that a wish for silence outlasts that."""
