"""Pictures: lanes, the topology as a tree, SVG and HTML. Pure."""
