package mysql

import (
	"context"

	"millrace/capture"
)

// blockingSnapshot tells that tables are not read while streaming waits.
func (t *task) blockingSnapshot(_ context.Context, id string, _ *capture.SnapshotRequest) error {
	t.log.Warn("a signal cannot be acted on and is ignored", "id", id, "error", "there are incremental snapshots only")
	return nil
}
