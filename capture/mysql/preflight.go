package mysql

import (
	"context"
	"fmt"
	"slices"

	"millrace/capture"
)

// Preflight is what Doctor finds that is not in order, for the log of a task that
// starts. It takes at most connection.validation.timeout.ms. offset is the stored
// source offset, nil for none.
func Preflight(ctx context.Context, o *Options, offset []byte) []capture.Finding {
	ctx, cancel := context.WithTimeout(ctx, o.Conn.ValidateTimeout)
	defer cancel()
	return slices.DeleteFunc(Doctor(ctx, o, offset).Findings, func(f capture.Finding) bool { return f.State == capture.StateOK })
}

// guard applies guardrail.collections.max to the tables that are captured.
func (t *task) guard() error {
	limit := t.opts.GuardTables
	if limit <= 0 || t.model == nil {
		return nil
	}
	n := 0
	for _, id := range t.model.IDs() {
		if t.captured(id) {
			n++
		}
	}
	if n <= limit {
		return nil
	}
	text := fmt.Sprintf("%d tables are captured, more than guardrail.collections.max=%d allows", n, limit)
	if t.opts.GuardFail {
		return fault(nil, "Narrow table.include.list, or raise guardrail.collections.max", "%s", text)
	}
	t.log.Warn(text)
	return nil
}
