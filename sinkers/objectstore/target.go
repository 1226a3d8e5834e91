package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// body is a complete file.
type body interface {
	io.ReaderAt
	size() int64
}

// object is a file and what a store may keep beside its bytes.
type object struct {
	body
	next, first int64      // the offset behind its last record, the time of its first
	tags        url.Values // nil: none
}

// target is where files go. put is called by several goroutines; an object appears
// whole or not at all, and replaces one of the same key.
type target interface {
	check(ctx context.Context) error
	put(ctx context.Context, key string, file object) error
}

// directory is a target on the local file system: the key is the path below root.
type directory struct{ root string }

func (d *directory) check(context.Context) error {
	if err := os.MkdirAll(d.root, 0o755); err != nil {
		return fmt.Errorf("make the directory %s: %w", d.root, err)
	}
	f, err := os.CreateTemp(d.root, ".millrace-*")
	if err != nil {
		return fmt.Errorf("write into the directory %s: %w", d.root, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// put writes a file beside its place, makes it durable and renames it.
func (d *directory) put(_ context.Context, key string, file object) (err error) {
	path := filepath.Join(d.root, filepath.FromSlash(key))
	if path != d.root && !strings.HasPrefix(path, filepath.Clean(d.root)+string(filepath.Separator)) {
		return fmt.Errorf("the name %q leaves the directory %s", key, d.root)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory %s: %w", dir, err)
	}
	f, err := os.CreateTemp(dir, ".millrace-*")
	if err != nil {
		return fmt.Errorf("write into the directory %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := io.Copy(f, io.NewSectionReader(file, 0, file.size())); err != nil {
		return fmt.Errorf("write the file %s: %w", path, err)
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the file %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("name the file %s: %w", path, err)
	}
	parent, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("make the name of %s durable: %w", path, err)
	}
	return errors.Join(parent.Sync(), parent.Close())
}
