package postgres

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// blockSize is how much of a chunk's rows travels at once from its reader.
const blockSize = 128 << 10

// minPages is the size of a table, in pages of 8 KiB, below which one reader is
// faster than several.
const minPages = 256

// Ranges cuts a table of so many pages into conditions on ctid, which the server
// (14 and later) reads as ranges of pages. The last one has no upper end.
func Ranges(pages int64, chunks int) []string {
	if chunks < 2 || pages < minPages {
		return []string{""}
	}
	step := max(pages/int64(chunks), 1)
	out := make([]string, 0, chunks)
	for c := range int64(chunks) {
		low := "ctid >= '(" + strconv.FormatInt(c*step, 10) + ",0)'::tid"
		if c == int64(chunks)-1 {
			out = append(out, low)
		} else {
			out = append(out, low+" AND ctid < '("+strconv.FormatInt((c+1)*step, 10)+",0)'::tid")
		}
	}
	return out
}

// CopyParallel runs COPY of several queries over several connections, all of which
// have the same snapshot, and hands the rows to row on the caller's goroutine. All
// readers have ended when it returns.
func CopyParallel(ctx context.Context, conns []*pgconn.PgConn, queries []string, row func(line []byte) error) (rows int64, err error) {
	g, run := errgroup.WithContext(ctx)
	full := make(chan []byte, len(conns))
	free := make(chan []byte, 3*len(conns))
	var next atomic.Int64
	for _, c := range conns {
		g.Go(func() error {
			b := block(free)
			give := func() error {
				select {
				case full <- b:
					b = block(free)
					return nil
				case <-run.Done():
					return run.Err()
				}
			}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(queries) {
					return give()
				}
				_, err := Copy(run, c, queries[i], func(line []byte) error {
					if len(b) > 0 && len(b)+len(line) > blockSize {
						if err := give(); err != nil {
							return err
						}
					}
					b = append(b, line...)
					return nil
				})
				if err != nil {
					return err
				}
			}
		})
	}
	ended := make(chan error, 1)
	go func() {
		ended <- g.Wait()
		close(full)
	}()
	for b := range full {
		for rest := b; len(rest) > 0 && err == nil; {
			// A newline inside of a value is escaped.
			n := bytes.IndexByte(rest, '\n') + 1
			if n == 0 {
				err = fmt.Errorf("a row of COPY has no end: %w", ErrLine)
				break
			}
			err = row(rest[:n])
			rest = rest[n:]
			rows++
		}
		if err != nil {
			break
		}
		select {
		case free <- b[:0]:
		default:
		}
	}
	if err != nil {
		g.Go(func() error { return err }) // ends the others
		for range full {
			continue
		}
		<-ended //nolint:errcheck // err, or what it brought about
		return rows, err
	}
	return rows, <-ended
}

func block(free chan []byte) []byte {
	select {
	case b := <-free:
		return b
	default:
		return make([]byte, 0, blockSize)
	}
}
