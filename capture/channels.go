package capture

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

// Channels collects signals from the channels that are polled: a file and a Kafka
// topic. Those of the signal table are added as they come. It is for the goroutine
// that reads the log.
type Channels struct {
	Log   *slog.Logger
	Every time.Duration // how often to look
	File  string        // "" none
	Topic SignalTopic   // nil none

	pending []Signal
	polled  time.Time
}

// SignalTopic reads signals from Kafka; emit.SignalTopic is one.
type SignalTopic interface {
	// Poll returns the signals that are waiting, without waiting for more.
	Poll(ctx context.Context) ([][]byte, error)
}

// Polled reports whether there is a channel to look at.
func (c *Channels) Polled() bool { return c.File != "" || c.Topic != nil }

// Add adds a signal of another channel.
func (c *Channels) Add(s Signal) { c.pending = append(c.pending, s) }

// Pending are the signals that were added and not taken, the oldest first. The slice
// is lent until the next call.
func (c *Channels) Pending() []Signal { return c.pending }

// Next takes the oldest signal.
func (c *Channels) Next() (s Signal, ok bool) {
	if len(c.pending) == 0 {
		return Signal{}, false
	}
	s = c.pending[0]
	c.pending = c.pending[1:]
	return s, true
}

// Poll looks at the channels when it is time to. What cannot be read is logged.
func (c *Channels) Poll(ctx context.Context, now time.Time) {
	if now.Sub(c.polled) < c.Every {
		return
	}
	c.polled = now
	if c.File != "" {
		c.readFile()
	}
	if c.Topic == nil {
		return
	}
	more, err := c.Topic.Poll(ctx)
	if err != nil && ctx.Err() == nil {
		c.Log.Warn("signals cannot be read from Kafka", "error", err)
	}
	for _, text := range more {
		c.take(text)
	}
}

func (c *Channels) take(text []byte) {
	s, err := ParseSignal(text)
	if err != nil {
		c.Log.Warn("a signal cannot be read and is ignored", "error", err)
		return
	}
	c.Add(s)
}

// readFile takes the lines of the signal file and empties it.
func (c *Channels) readFile() {
	text, err := os.ReadFile(c.File)
	if err != nil || len(text) == 0 {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.Log.Warn("the signal file cannot be read", "file", c.File, "error", err)
		}
		return
	}
	if err := os.Truncate(c.File, 0); err != nil {
		c.Log.Warn("the signal file cannot be emptied, so its signals are not acted on", "file", c.File, "error", err)
		return
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) > 0 {
			c.take(bytes.Clone(lines.Bytes()))
		}
	}
}
