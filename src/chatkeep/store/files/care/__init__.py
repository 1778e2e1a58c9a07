"""Care for the files: find faults, repair them, copy everything.

remedies     repairs for findings         backups   one file with every session
checkup      a pass over a workspace
inspection   the files, one by one
audit        the index beside the files   findings  a fault and its remedy
"""
