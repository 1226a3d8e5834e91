package postgres

import (
	"encoding/json"
	"slices"

	"millrace/capture"
	"millrace/internal/store"
)

// keySignals is our own key of the source offset: signals that were read and are not
// done with. The log does not bring them again, nor does a file or a topic. One is
// there when a transaction with a signal has not ended yet, and while a blocking
// snapshot runs, so that a task that dies in it begins it anew.
const keySignals = "millrace_signals"

// keepSignals puts what is pending into the position that is sent next.
func (s *session) keepSignals() {
	kept := slices.ContainsFunc(s.at.Extra, func(e store.Entry) bool { return e.Key == keySignals })
	pending := s.signals.Pending()
	if !kept && len(pending) == 0 {
		return
	}
	var extra []store.Entry
	for _, e := range s.at.Extra {
		if e.Key != keySignals {
			extra = append(extra, e)
		}
	}
	if len(pending) > 0 {
		list := make([]signalText, len(pending))
		for i, sig := range pending {
			list[i] = signalText{sig.ID, sig.Type, string(sig.Data)}
		}
		text, _ := json.Marshal(list)
		value, _ := json.Marshal(string(text))
		extra = append(extra, store.Entry{Key: keySignals, Value: string(value)})
	}
	s.at.Extra, s.dirty = extra, true
}

// signalText is a signal as it is stored; its data need not be JSON.
type signalText struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data string `json:"data,omitempty"`
}

// restoreSignals takes the signals of a stored offset.
func (s *session) restoreSignals(extra []store.Entry) {
	i := slices.IndexFunc(extra, func(e store.Entry) bool { return e.Key == keySignals })
	if i < 0 {
		return
	}
	var text string
	var list []signalText
	if json.Unmarshal([]byte(extra[i].Value), &text) != nil || json.Unmarshal([]byte(text), &list) != nil {
		s.log.Warn("the signals in the stored offset cannot be read and are not acted on", "value", extra[i].Value)
		return
	}
	for _, x := range list {
		s.signals.Add(capture.Signal{ID: x.ID, Type: x.Type, Data: json.RawMessage(x.Data)})
	}
}
