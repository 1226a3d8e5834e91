package filestream

import (
	"encoding/json"
	"fmt"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/store"
)

// The Java class names of the connector and its task.
const (
	Class     = "org.apache.kafka.connect.file.FileStreamSourceConnector"
	TaskClass = "org.apache.kafka.connect.file.FileStreamSourceTask"
)

// Def is the connector's table of options.
func Def() *configdef.Def {
	return &configdef.Def{Options: []configdef.Option{
		{Name: "file", Type: configdef.String, Importance: configdef.High, Order: -1,
			Doc: "File to follow; the standard input when there is none.", HasDefault: false},
		{Name: "topic", Type: configdef.String, Required: true, Importance: configdef.High, Order: -1,
			Doc: "Topic that the lines go to.", Check: nonEmpty},
		{Name: "batch.size", Type: configdef.Int, HasDefault: true, Default: "2000", Importance: configdef.Low, Order: -1,
			Doc: "Most lines that are read from the file at once."},
	}}
}

func nonEmpty(in configdef.Input) []string {
	if in.Set && in.Value == "" {
		return []string{fmt.Sprintf("Invalid value  for configuration %s: String must be non-empty", in.Name)}
	}
	return nil
}

// Seeks reports whether the source reads a file, in which it can go back to an
// offset; standard input cannot be read twice.
func Seeks(props map[string]string) bool { return props["file"] != "" }

// CheckOffset refuses partitions and offsets that the connector could not read.
func CheckOffset(partition, offset *store.Object) error {
	bad := func(format string, a ...any) error {
		return &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf(format, a...)}
	}
	if offset == nil {
		return nil // a reset of whatever partition
	}
	v, ok := offset.Get("position")
	if !ok {
		return bad("Offset objects should either be null or contain the key 'position'")
	}
	n, ok := v.(json.Number)
	if !ok {
		return bad("The value for the 'position' key in the offset is expected to be a Long value")
	}
	switch i, err := n.Int64(); {
	case err != nil:
		return bad("The value for the 'position' key in the offset is expected to be a Long value")
	case i < 0:
		return bad("The value for the 'position' key in the offset should be a non-negative value")
	}
	name, ok := partition.Get("filename")
	if !ok {
		return bad("Partition objects should contain the key 'filename'")
	}
	if _, ok := name.(string); !ok {
		return bad("The value for the 'filename' key in the partition must be a text")
	}
	return nil
}
