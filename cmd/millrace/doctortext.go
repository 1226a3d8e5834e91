package main

import (
	"bytes"
	"fmt"
	"strings"

	"millrace/capture"
)

// Widths of the table in characters.
const (
	doctorWidth   = 110 // of the whole table
	doctorSubject = 34  // of the second column at most; longer ones push theirs aside
	doctorFold    = 20  // healthy tables beyond this number share a line
)

// text is the table for people. SQL and commands are never wrapped, so that they
// can be pasted.
func (d *diagnosis) text(color bool) []byte {
	var b bytes.Buffer
	check, subject := 0, 0
	for i := range d.Findings {
		f := &d.Findings[i]
		check, subject = max(check, len([]rune(f.Check))), max(subject, len([]rune(f.Subject)))
	}
	subject = min(subject, doctorSubject)
	tables, folded := 0, 0
	for i := range d.Findings {
		f := &d.Findings[i]
		if f.Check == "table" && f.State == capture.StateOK {
			if tables++; tables > doctorFold {
				folded++
				continue
			}
		}
		d.row(&b, f, check, subject, color)
	}
	if folded > 0 {
		d.row(&b, &capture.Finding{Check: "table", State: capture.StateOK, Subject: "…", Found: fmt.Sprintf("and %d more tables without a problem (--json lists them)", folded)}, check, subject, color)
	}
	b.WriteByte('\n')
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "%s\n", n)
	}
	fmt.Fprintf(&b, "%s: %d failed, %d warnings, %d ok\n", d.Connector, d.Failed, d.Warnings, len(d.Findings)-d.Failed-d.Warnings)
	return b.Bytes()
}

func (d *diagnosis) row(b *bytes.Buffer, f *capture.Finding, check, subject int, color bool) {
	word, shade := "ok", "32"
	switch f.State {
	case capture.StateWarning:
		word, shade = "warning", "33"
	case capture.StateFailed:
		word, shade = "FAILED", "31"
	}
	cell := fmt.Sprintf("%-7s", word)
	if color {
		cell = "\x1b[" + shade + "m" + cell + "\x1b[0m"
	}
	left := fmt.Sprintf("%-*s  ", check, f.Check)
	if subject > 0 {
		left += fmt.Sprintf("%-*s  ", subject, f.Subject)
	}
	indent := 9 + check + 2
	if subject > 0 {
		indent += subject + 2
	}
	lines := wrap(f.Found, max(40, doctorWidth-indent))
	fmt.Fprintf(b, "%s  %s%s\n", cell, left, lines[0])
	for _, l := range lines[1:] {
		fmt.Fprintf(b, "%*s%s\n", indent, "", l)
	}
	label := "fix: "
	line := func(s string) {
		fmt.Fprintf(b, "         %s %s\n", label, s)
		label = "     "
	}
	for _, s := range f.SQL {
		line(s + ";")
	}
	if f.Do != "" {
		line(f.Do)
	}
}

// wrap breaks a text into lines of at most width characters where words allow.
func wrap(s string, width int) []string {
	var out []string
	line := ""
	for _, w := range strings.Fields(s) {
		if line != "" && len([]rune(line))+1+len([]rune(w)) > width {
			out, line = append(out, line), ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return append(out, line)
}
