package stage

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used up, as Linux counts it.
type Usage struct {
	// Own is its CPU time. Children is that of child processes it has waited for.
	Own, Children time.Duration
	// PeakRSS is the most memory that it ever had resident, in bytes.
	PeakRSS int64
	// Parent is the ID of the process that started it.
	Parent int
}

// tick is the unit of /proc/PID/stat: USER_HZ is 100 on every Linux that Go
// runs on.
const tick = 10 * time.Millisecond

// UsageOf reads what a running process has used up so far.
func UsageOf(pid int) (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	// The second field is the program's name, which may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const parent, utime = 1, 11 // counted from the state, which comes after the name
	if len(fields) < utime+4 {
		return Usage{}, fmt.Errorf("/proc/%d/stat cannot be read", pid)
	}
	var ticks [4]time.Duration
	for i := range ticks {
		n, err := strconv.ParseInt(fields[utime+i], 10, 64)
		if err != nil {
			return Usage{}, err
		}
		ticks[i] = time.Duration(n) * tick
	}
	by, err := strconv.Atoi(fields[parent])
	if err != nil {
		return Usage{}, err
	}
	peak, err := Kilobytes(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
	return Usage{Own: ticks[0] + ticks[1], Children: ticks[2] + ticks[3], PeakRSS: peak, Parent: by}, err
}

// Kilobytes finds a line such as "VmHWM:  1024 kB", and returns bytes.
func Kilobytes(file, name string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, name)
}
