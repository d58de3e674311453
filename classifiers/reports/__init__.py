"""Report pages and pictures of the graders and branches."""
