"""A run and its verdict for people and machines: terminal, HTML, JSON, JUnit, Markdown."""
