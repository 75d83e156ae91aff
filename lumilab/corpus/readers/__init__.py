"""The file formats text comes in: each is read as a stream of rows or as one text, in bounded memory.

Every reader takes an open binary stream, so the same code reads files of this machine and files of a hub. What cannot
be read is yielded as a BadRecord with the place and a reason, and the reading goes on behind it where the format has
a place to go on from.
"""
