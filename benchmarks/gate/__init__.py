"""The whole regression gate on runs whose truth is known."""
