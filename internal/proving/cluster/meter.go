package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"keywave/internal/proving/stage"
)

// meter adds up what each part of the cluster uses, for docs/operations.md.
type meter struct {
	part   map[int]string        // of each process that was seen, by its ID
	before map[int]time.Duration // CPU that it had used when the meter began
	cpu    map[int]time.Duration // CPU that it has used
	// peak is, by part, the memory of the largest process. PostgreSQL's is that of all its
	// processes at one time.
	peak        map[string]int64
	connections int // the services' largest number
	empty, full int64
	begun, last time.Time
}

// database is PostgreSQL's part, all of its processes.
const database = "PostgreSQL"

// lookEvery is how often the meter is read. What a killed process used since then is lost.
const lookEvery = 2 * time.Second

// begin begins to count.
func (d *day) begin(ctx context.Context) (err error) {
	d.meter = meter{part: map[int]string{}, before: map[int]time.Duration{}, cpu: map[int]time.Duration{}, peak: map[string]int64{}, begun: time.Now()}
	d.look(ctx)
	d.meter.before = maps.Clone(d.meter.cpu)
	d.meter.empty, err = d.cluster.db.size(ctx)
	return err
}

// look reads the meter, unless that was done a moment ago. What does not run, because it
// was killed, is not counted this time.
func (d *day) look(ctx context.Context) {
	m := &d.meter
	if time.Since(m.last) < lookEvery {
		return
	}
	m.last = time.Now()
	for service, p := range d.cluster.running {
		m.add("Temporal's "+service, p.PID())
	}
	for _, w := range d.Workers {
		m.add("Keywave's "+w.Name[:strings.LastIndexByte(w.Name, '-')], w.PID())
	}
	m.addFamily(d.cluster.db.PID())
	said, err := d.cluster.db.ask(ctx, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'temporal%'")
	if n, wrong := strconv.Atoi(said); err == nil && wrong == nil {
		m.connections = max(m.connections, n)
	}
}

func (m *meter) add(part string, pid int) {
	if u, err := stage.UsageOf(pid); err == nil {
		m.part[pid], m.cpu[pid] = part, u.Own
		m.peak[part] = max(m.peak[part], u.PeakRSS)
	}
}

// addFamily adds PostgreSQL: its first process, the CPU of those that it started and that
// ended, and those that run.
func (m *meter) addFamily(first int) {
	whole, err := stage.UsageOf(first)
	if err != nil {
		return
	}
	cpu, memory := whole.Own+whole.Children, shared(first)
	found, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range found {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if u, err := stage.UsageOf(pid); err == nil && u.Parent == first {
			cpu += u.Own
			memory += shared(pid)
		}
	}
	m.part[first], m.cpu[first] = database, cpu
	m.peak[database] = max(m.peak[database], memory)
}

// shared is a process's memory; of what it shares with others it has its share.
func shared(pid int) int64 {
	bytes, _ := stage.Kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
	return bytes
}

// tell prints what a zone cost.
func (d *day) tell(ctx context.Context) error {
	m := &d.meter
	m.last = time.Time{}
	d.look(ctx)
	took := time.Since(m.begun)
	var err error
	if m.full, err = d.cluster.db.size(ctx); err != nil {
		return err
	}
	used := map[string]time.Duration{}
	for pid, cpu := range m.cpu {
		used[m.part[pid]] += cpu - m.before[pid]
	}
	var all time.Duration
	for _, part := range slices.SortedFunc(maps.Keys(used), func(a, b string) int { return cmp.Compare(used[b], used[a]) }) {
		all += used[part]
		say("%s: %.1f ms of CPU a zone, %d MB of memory at most", part, d.each(used[part]), m.peak[part]>>20)
	}
	d.sum.connections, d.sum.bytesEach, d.sum.cpuEach = m.connections, (m.full-m.empty)/int64(d.Zones), d.each(all)
	say("plan and campaign took %s; the databases grew from %d MB to %d MB", took.Round(time.Second), m.empty>>20, m.full>>20)
	return nil
}

// each is a zone's part of d, in milliseconds.
func (d *day) each(all time.Duration) float64 {
	return all.Seconds() * 1000 / float64(d.Zones)
}

// size is how many bytes the two databases have.
func (p *postgres) size(ctx context.Context) (int64, error) {
	said, err := p.ask(ctx, "postgres", "SELECT sum(pg_database_size(datname)) FROM pg_database WHERE datname LIKE 'temporal%'")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(said, 10, 64)
	if err != nil {
		err = fmt.Errorf("PostgreSQL gives %q as the size of its databases", said)
	}
	return n, err
}
