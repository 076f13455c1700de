package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"keywave/internal/proving/stage"
)

// usage is what a process has used up, as Linux counts it.
type usage struct {
	// own is its CPU time. children is that of child processes it has waited for.
	own, children time.Duration
	// peakRSS is the most memory that it ever had resident, in bytes.
	peakRSS int64
}

// tick is the unit of /proc/PID/stat: USER_HZ is 100 on every Linux that Go
// runs on.
const tick = 10 * time.Millisecond

func usageOf(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	// The second field is the program's name, which may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const utime = 11 // counted from the state, which comes after the name
	if len(fields) < utime+4 {
		return usage{}, fmt.Errorf("/proc/%d/stat cannot be read", pid)
	}
	var ticks [4]time.Duration
	for i := range ticks {
		n, err := strconv.ParseInt(fields[utime+i], 10, 64)
		if err != nil {
			return usage{}, err
		}
		ticks[i] = time.Duration(n) * tick
	}
	peak, err := kilobytes(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
	return usage{own: ticks[0] + ticks[1], children: ticks[2] + ticks[3], peakRSS: peak}, err
}

// kilobytes finds a line such as "VmHWM:  1024 kB", and returns bytes.
func kilobytes(file, name string) (int64, error) {
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

// surroundings is what the figures depend on.
type surroundings struct {
	cpu, kernel                     string
	cores                           int
	memoryBytes                     int64
	keywave, goVersion, server, sdk string
	date                            string
}

// look reads the machine and the versions of the programs that were measured.
func look(ctx context.Context, p stage.Programs) (surroundings, error) {
	s := surroundings{cpu: "unknown processor", cores: runtime.NumCPU(), date: time.Now().UTC().Format(time.DateOnly)}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				s.cpu = strings.TrimSpace(model)
				break
			}
		}
	}
	var err error
	if s.memoryBytes, err = kilobytes("/proc/meminfo", "MemTotal:"); err != nil {
		return s, err
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return s, err
	}
	s.kernel, s.keywave = strings.TrimSpace(string(release)), revision(ctx)
	worker, err := buildinfo.ReadFile(p.Worker)
	if err != nil {
		return s, err
	}
	s.goVersion, s.sdk = worker.GoVersion, version(worker, "go.temporal.io/sdk")
	server, err := buildinfo.ReadFile(p.DevServer)
	if err != nil {
		return s, err
	}
	s.server = version(server, "go.temporal.io/server")
	return s, nil
}

// revision is the commit of the working directory, because the programs may be
// built without one.
func revision(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "of an unknown revision"
	}
	return strings.TrimSpace(string(out))
}

func version(i *buildinfo.BuildInfo, module string) string {
	for _, d := range i.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return "of an unknown version"
}

// databaseBytes is the size of SQLite's file and its journals. A server that
// was stopped leaves no journals.
func databaseBytes(db string) (int64, error) {
	files, err := filepath.Glob(db + "*")
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return 0, err
		}
		sum += info.Size()
	}
	return sum, nil
}
