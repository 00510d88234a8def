"""What a command does, step by step. No parsing of options and no layout."""
