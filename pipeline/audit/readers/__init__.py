"""The readers' copy: the trail without payloads, for a group that may query everything else."""
