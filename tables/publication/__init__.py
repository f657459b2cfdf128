"""Tables on their way to quoters: generations in a folder, swapped atomically, signed, followed, undone."""
