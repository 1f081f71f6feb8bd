"""Scenarios made from what was seen elsewhere: HAR files, access logs, OpenAPI, curl."""
