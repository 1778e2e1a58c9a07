"""Following the histories of other programs on this machine: what they write comes in, what they delete stays.

beside_server  following for a server, which cannot ask
running        one sync of a workspace at a time
follower       the loop: what changed, what is due, in which order
due            the files to read, and when
copies         the content of changed files, before their programs truncate or delete them
notices        which files changed, by events of the system, or by looking at all of them
taking         one file into the store
walking        the files of a program's home
chosen         the homes on this machine, and those that its user chose
positions      the state in which each file was read last

Nothing here writes to another program's files. Reading a file twice adds nothing, so a sync may be killed at any
moment: a file counts as read only after all of it is stored.
"""
