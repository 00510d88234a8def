"""The only writer: documents, dialogue and text on the streams of an invocation."""
