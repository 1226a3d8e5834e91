package rest

import (
	"encoding/json"
	"strings"

	"millrace/internal/store"
	"millrace/internal/worker"
)

func (s *Server) plugins(c *call) error {
	q := query(c.r)
	only := !q.Has("connectorsOnly") || flag(q, "connectorsOnly")
	return c.json(200, s.b.Plugins(only))
}

func (s *Server) pluginConfig(c *call) error {
	q := query(c.r)
	version := q.Get("version")
	if q.Has("version") && version == "" {
		version = "," // an empty text is a range, which nothing matches
	}
	keys, err := s.b.PluginConfig(c.args[0], version)
	if err != nil {
		return err
	}
	return c.json(200, keys)
}

func (s *Server) validate(c *call) error {
	config, err := parseConfig(c)
	if err != nil {
		return err
	}
	infos, err := s.b.ValidateConfig(c.r.Context(), c.args[0], config)
	if err != nil {
		return err
	}
	return c.json(200, infos)
}

func (s *Server) offsets(c *call) error {
	os, err := s.b.Offsets(c.r.Context(), c.args[0])
	if err != nil {
		return err
	}
	return c.json(200, struct {
		Offsets []worker.OffsetEntry `json:"offsets"`
	}{os})
}

type message struct {
	Message string `json:"message"`
}

func (s *Server) alterOffsets(c *call) error {
	b, err := c.body()
	if err != nil {
		return err
	}
	entries, err := parseOffsets(b)
	if err != nil {
		return err
	}
	msg, err := s.b.AlterOffsets(c.r.Context(), c.args[0], entries)
	if err != nil {
		return err
	}
	return c.json(200, message{msg})
}

func parseOffsets(b []byte) ([]worker.OffsetEntry, error) {
	if strings.TrimSpace(string(b)) == "" {
		return nil, bodyError(`the request has no body; send {"offsets":[{"partition":{…},"offset":{…}}]}`)
	}
	v, err := store.ParseJSON(b)
	if err != nil {
		return nil, bodyError("the body is no valid JSON: " + err.Error())
	}
	o, ok := v.(*store.Object)
	if !ok {
		return nil, bodyError(`the body must be a JSON object with "offsets"`)
	}
	var out []worker.OffsetEntry
	for _, f := range o.Fields {
		if f.Key != "offsets" {
			return nil, bodyError("Unrecognized field \"" + f.Key + "\"; known is offsets")
		}
		list, ok := f.Value.([]any)
		if !ok && f.Value != nil {
			return nil, bodyError("offsets must be a list")
		}
		for _, e := range list {
			eo, ok := e.(*store.Object)
			if !ok {
				return nil, bodyError("an offset must be a JSON object with partition and offset")
			}
			var entry worker.OffsetEntry
			for _, x := range eo.Fields {
				switch x.Key {
				case "partition":
					entry.Partition = json.RawMessage(store.AppendJSON(nil, x.Value))
				case "offset":
					entry.Offset = json.RawMessage(store.AppendJSON(nil, x.Value))
				default:
					return nil, bodyError("Unrecognized field \"" + x.Key + "\"; known are partition and offset")
				}
			}
			out = append(out, entry)
		}
	}
	return out, nil
}

func (s *Server) resetOffsets(c *call) error {
	msg, err := s.b.ResetOffsets(c.r.Context(), c.args[0])
	if err != nil {
		return err
	}
	return c.json(200, message{msg})
}
