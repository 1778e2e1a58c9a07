"""Care for the files: find faults, repair them, copy everything.

files_admin  the `Admin` of a workspace
remedies     repairs for findings         backups   one file with every session
checkup      a pass over a workspace
inspection   the files, one by one
audit        the index beside the files   findings  faults of mode and owner
"""
