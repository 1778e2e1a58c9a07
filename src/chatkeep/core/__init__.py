"""The rules of sessions, pure: no clock, no disk, no network, no environment."""
