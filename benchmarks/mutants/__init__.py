"""Edits of the judging code, one at a time: which edit does no test notice?"""
