package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report collects the rows of the table.
type report struct {
	machine string
	startMs float64
	rows    []row
	notes   []string
}

type row struct{ what, value, limit, share, cpu, rss string }

func (r *report) addDrain(changes int64, raw1, raw2 time.Duration, formats []*format) {
	perS := func(d time.Duration) float64 { return float64(changes) / d.Seconds() }
	best := min(raw1, raw2)
	for _, f := range formats {
		r.rows = append(r.rows, row{
			what:  "drain of " + thousands(changes) + " changes, " + f.name,
			value: thousands(int64(perS(f.took))) + " changes/s", limit: thousands(int64(perS(best))) + "/s (pg_recvlogical)",
			share: fmt.Sprintf("%.0f %%", 100*best.Seconds()/f.took.Seconds()), cpu: fmt.Sprintf("%.1f µs", f.cpuUs), rss: fmt.Sprintf("%.0f MiB", f.rssMiB),
		})
	}
	r.notes = append(r.notes, fmt.Sprintf("pg_recvlogical before and after: %s and %s changes/s", thousands(int64(perS(raw1))), thousands(int64(perS(raw2)))))
}

func (r *report) addSnapshot(name string, rows int64, took, cp time.Duration, cpuUs, rss float64) {
	r.rows = append(r.rows, row{
		what:  "snapshot of " + thousands(rows) + " rows, " + name,
		value: thousands(int64(float64(rows)/took.Seconds())) + " rows/s", limit: thousands(int64(float64(rows)/cp.Seconds())) + "/s (COPY)",
		share: fmt.Sprintf("%.0f %%", 100*cp.Seconds()/took.Seconds()), cpu: fmt.Sprintf("%.1f µs", cpuUs), rss: fmt.Sprintf("%.0f MiB", rss),
	})
}

func (r *report) addBig(name string, rows int64, wrote, took time.Duration, cpuUs, rss float64) {
	r.rows = append(r.rows, row{
		what:  "one transaction of " + thousands(rows) + " rows of 1 KB, " + name,
		value: fmt.Sprintf("last record %.0f s after the commit", took.Seconds()), limit: fmt.Sprintf("written in %.0f s", wrote.Seconds()),
		cpu: fmt.Sprintf("%.1f µs", cpuUs), rss: fmt.Sprintf("%.0f MiB", rss),
	})
}

func (r *report) addLatency(rate int, lat []time.Duration, cpuPct, rss float64) {
	q := func(p float64) string {
		return fmt.Sprintf("%.1f ms", float64(lat[min(len(lat)-1, int(p*float64(len(lat))))].Microseconds())/1000)
	}
	r.rows = append(r.rows, row{
		what:  fmt.Sprintf("commit → consumer at %d transactions/s", rate),
		value: "p50 " + q(.5) + ", p99 " + q(.99), limit: "max " + q(1), cpu: fmt.Sprintf("%.1f %% of a core", cpuPct), rss: fmt.Sprintf("%.0f MiB", rss),
	})
}

func (r *report) print(w io.Writer) {
	if r.startMs > 0 {
		r.rows = append(r.rows, row{what: "process start → REST answers", value: fmt.Sprintf("%.0f ms", r.startMs), limit: "median of 5"})
	}
	fmt.Fprintf(w, "\n%s\n\n", r.machine)
	table := []row{{"", "millrace", "limit, same run", "share", "CPU per change", "peak memory"}}
	table = append(table, r.rows...)
	cells := func(x row) []string { return []string{x.what, x.value, x.limit, x.share, x.cpu, x.rss} }
	width := make([]int, 6)
	for _, x := range table {
		for i, c := range cells(x) {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	for i, x := range table {
		for j, c := range cells(x) {
			fmt.Fprint(w, "| "+c+strings.Repeat(" ", width[j]-len([]rune(c))+1))
		}
		fmt.Fprintln(w, "|")
		if i == 0 {
			for j := range width {
				fmt.Fprint(w, "|"+strings.Repeat("-", width[j]+2))
			}
			fmt.Fprintln(w, "|")
		}
	}
	fmt.Fprintln(w)
	for _, n := range r.notes {
		fmt.Fprintln(w, n)
	}
}

func median(d []time.Duration) float64 {
	s := slices.Clone(d)
	slices.Sort(s)
	return float64(s[len(s)/2].Microseconds()) / 1000
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// machine describes the computer.
func machine() string {
	cpu := "unknown CPU"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == "model name" {
				cpu = strings.TrimSpace(v)
				break
			}
		}
	}
	mem := ""
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			if kb, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				mem = fmt.Sprintf(", %d GiB", (kb+1<<19)>>20)
			}
		}
	}
	return fmt.Sprintf("%d cores of %s%s, %s", runtime.NumCPU(), cpu, mem, runtime.Version())
}

// cpuTime is what a process has used so far, in user and kernel mode.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	s := string(b)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("unexpected /proc/%d/stat: %s", pid, s)
	}
	var ticks int64
	for _, x := range f[11:13] {
		n, err := strconv.ParseInt(x, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // Linux reports hundredths of a second to programs
}

// peakMiB is the most memory a process has had resident.
func peakMiB(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("no VmHWM in /proc/%d/status", pid)
}
