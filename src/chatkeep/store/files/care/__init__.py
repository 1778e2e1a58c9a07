"""Looking after the files: finding what is wrong, putting it right, copying all of it.

remedies     what is done about a finding       backups   one file with everything in it
checkup      a workspace, looked through
inspection   the files, one by one
audit        the index beside the files         findings  what there is to say
"""
