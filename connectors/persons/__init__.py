"""Personal information at a publisher and at the hub: encrypted, granted, restricted, erased."""
