package main

import (
	"context"
	"fmt"
	"os"

	"millrace/internal/store"
	"millrace/internal/worker"
)

// connectorFile is a connector as a file on the command line gives it.
type connectorFile struct {
	name    string
	config  *store.Map
	initial store.TargetState
}

// readConnector reads a flat JSON map, {"name":…,"config":{…},"initial_state":…},
// or .properties, tried in this order as Connect's standalone mode does.
func readConnector(path string) (*connectorFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read connector file: %w", err)
	}
	v, jerr := store.ParseJSON(data)
	o, ok := v.(*store.Object)
	if jerr != nil || !ok {
		props, err := worker.ParseProperties(data)
		if err != nil || props["name"] == "" {
			return nil, fmt.Errorf("connector file %s is neither a JSON object nor properties with a name: %w", path, orError(jerr, err))
		}
		return &connectorFile{name: props["name"], config: store.FromStrings(props)}, nil
	}
	if m, err := store.StringMap(o); err == nil {
		name, ok := m.Get("name")
		if !ok {
			return nil, fmt.Errorf("connector file %s has no \"name\"", path)
		}
		return &connectorFile{name: name, config: m}, nil
	}
	cv, _ := o.Get("config")
	co, ok := cv.(*store.Object)
	if !ok {
		return nil, fmt.Errorf("connector file %s has no \"config\" object", path)
	}
	m, err := store.StringMap(co)
	if err != nil {
		return nil, fmt.Errorf("connector file %s: %w", path, err)
	}
	nv, _ := o.Get("name")
	f := &connectorFile{config: m}
	f.name, _ = nv.(string)
	if f.name == "" {
		f.name = m.Value("name")
	}
	if f.name == "" {
		return nil, fmt.Errorf("connector file %s has no \"name\"", path)
	}
	m.Put("name", f.name)
	if s, ok := o.Get("initial_state"); ok {
		switch s {
		case "RUNNING":
			f.initial = store.Started
		case "PAUSED":
			f.initial = store.Paused
		case "STOPPED":
			f.initial = store.Stopped
		default:
			return nil, fmt.Errorf("connector file %s: initial_state must be RUNNING, PAUSED or STOPPED", path)
		}
	}
	return f, nil
}

func orError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// createFromFiles creates or updates the connectors of the command line.
func createFromFiles(ctx context.Context, w *worker.Worker, files []string) error {
	for _, path := range files {
		f, err := readConnector(path)
		if err != nil {
			return err
		}
		if _, _, err := w.Put(ctx, f.name, f.config); err != nil {
			return fmt.Errorf("connector file %s: %w", path, err)
		}
		if f.initial != "" && f.initial != store.Started {
			if err := w.SetTarget(ctx, f.name, f.initial); err != nil {
				return fmt.Errorf("connector file %s: %w", path, err)
			}
		}
	}
	return nil
}
