"""What the API answers without changing anything: snapshot, events, explain, outcome and so on."""
