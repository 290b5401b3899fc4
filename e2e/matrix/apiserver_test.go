package matrix

// apiserverCells are faults of the API server and of its etcd.
func apiserverCells() []cell { return nil }
