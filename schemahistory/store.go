package schemahistory

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Store keeps the entries of a connector's schema history in order.
type Store interface {
	// Append returns when the entries are durable.
	Append(ctx context.Context, entries ...*Entry) error
	// Load calls f for every entry in order, malformed ones excepted, which are
	// passed to bad (may be nil).
	Load(ctx context.Context, f func(*Entry) error, bad func(err error)) error
	// Exists reports whether there is a history at all, even an empty one.
	Exists(ctx context.Context) (bool, error)
	Close() error
}

// Memory is io.debezium.relational.history.MemorySchemaHistory: gone with the process.
type Memory struct {
	mu      sync.Mutex
	entries []*Entry
}

// Append keeps the entries.
func (m *Memory) Append(_ context.Context, entries ...*Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, entries...)
	return nil
}

// Load walks over the entries.
func (m *Memory) Load(_ context.Context, f func(*Entry) error, _ func(error)) error {
	m.mu.Lock()
	entries := m.entries
	m.mu.Unlock()
	for _, e := range entries {
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// Exists reports whether anything was kept.
func (m *Memory) Exists(context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries) > 0, nil
}

// Close does nothing.
func (m *Memory) Close() error { return nil }

// File is io.debezium.storage.file.history.FileSchemaHistory: one compact JSON
// object per line, synced to disk before Append returns.
type File struct{ Path string }

// Append writes and syncs the entries.
func (h *File) Append(_ context.Context, entries ...*Entry) (err error) {
	var buf bytes.Buffer
	for _, e := range entries {
		line, err := e.Compact()
		if err != nil {
			return err
		}
		buf.Write(line)
		buf.WriteByte('\n')
	}
	f, err := os.OpenFile(h.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("open schema history file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(buf.Bytes()); err != nil {
		return fmt.Errorf("write schema history file: %w", err)
	}
	return f.Sync()
}

// Load reads the file; one that does not exist is empty.
func (h *File) Load(_ context.Context, each func(*Entry) error, bad func(error)) (err error) {
	f, err := os.Open(h.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open schema history file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := bufio.NewReaderSize(f, 1<<16)
	for {
		line, err := r.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			if e, perr := ParseEntry(line); perr == nil {
				if err := each(e); err != nil {
					return err
				}
			} else if bad != nil {
				bad(perr)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read schema history file: %w", err)
		}
	}
}

// Exists reports whether the file is there.
func (h *File) Exists(context.Context) (bool, error) {
	_, err := os.Stat(h.Path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Close does nothing: the file is open only while it is used.
func (h *File) Close() error { return nil }
