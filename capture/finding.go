package capture

// State is how a check of the preflight ended.
type State string

// The states of a Finding. Failed means that the connector would not start, would
// stop, or would lose or garble changes; Warning that it runs but something is
// likely not as meant or will hurt later.
const (
	StateOK      State = "ok"
	StateWarning State = "warning"
	StateFailed  State = "failed"
)

// Finding is one check of the preflight (`millrace doctor`). It never holds secrets.
type Finding struct {
	Check   string `json:"check"`             // what was looked at, e.g. "wal_level"
	Subject string `json:"subject,omitempty"` // the table, slot, topic or property; "" the server as a whole
	State   State  `json:"state"`
	Found   string `json:"found"` // a sentence for the reader
	// SQL are statements that fix it, each complete, to be run in this order by a
	// role that may (an administrator, or the owner of the table).
	SQL []string `json:"sql,omitempty"`
	// Do is what else fixes it: a setting, a restart, a command.
	Do string `json:"do,omitempty"`
}

// Checkup is what the preflight found out about a source.
type Checkup struct {
	Findings []Finding
	// Topics are those that the captured tables' records go to, before transforms.
	Topics []string
}

// Add appends a finding that is in order, or one to be completed by the caller
// through the returned pointer, which is good until the next Add.
func (c *Checkup) Add(state State, check, subject, found string) *Finding {
	c.Findings = append(c.Findings, Finding{Check: check, Subject: subject, State: state, Found: found})
	return &c.Findings[len(c.Findings)-1]
}
