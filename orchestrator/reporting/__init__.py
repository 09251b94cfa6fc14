"""What people are told: the comment, the deployments, the remedies, in words that harm nobody."""
