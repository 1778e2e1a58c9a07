"""What a server starts beside itself: a process that searches, and one that stores long texts."""
