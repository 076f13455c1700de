package main

import (
	"context"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"keywave/internal/proving/stage"
)

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
	if s.memoryBytes, err = stage.Kilobytes("/proc/meminfo", "MemTotal:"); err != nil {
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
