"""What every reader reproduces bit for bit: questions, answers by a second, slow reading of FORMAT.md, and
vectors made of them.
"""
