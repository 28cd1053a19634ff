"""What this machine can do: each stage's rate, which of them bounds it, and settings that fit."""
