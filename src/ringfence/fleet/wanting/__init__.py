"""What people want of devices: groups, wishes of one device, its secrets."""
