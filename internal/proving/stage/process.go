// Package stage runs Keywave's own programs as real processes on this machine:
// the embedded Temporal server, the simulator and workers. The demo, the
// end-to-end tests, the benchmark and the chaos harness all use it. Everything
// that it starts listens on loopback and is ended by Strike.
package stage

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that runs beside this one. Its output goes to a file.
type Process struct {
	Name string
	// Log holds its standard output and standard error.
	Log   string
	cmd   *exec.Cmd
	lines chan string
	done  chan struct{}
	err   error
}

// Start runs the program at path in the background. Its output is appended to
// log. It is in a process group of its own, so that Ctrl-C reaches only the
// caller, who stops the others in order.
func Start(name, path, log string, env []string, args ...string) (*Process, error) {
	return startIn("", name, path, log, env, args...)
}

// startIn is Start with a working directory. "" means the caller's.
func startIn(dir, name, path, log string, env []string, args ...string) (*Process, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%s is not there; build it: make build", path)
	}
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	p := &Process{Name: name, Log: log, lines: make(chan string, 1), done: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir, p.cmd.Env = dir, env
	p.cmd.Stderr = f
	p.cmd.SysProcAttr = ownGroup()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		_ = f.Close()
		return nil, err
	}
	go p.drain(out, f)
	return p, nil
}

// drain keeps the first line for FirstLine, and logs all lines.
func (p *Process) drain(out io.Reader, log *os.File) {
	defer close(p.done)
	defer func() { _ = log.Close() }()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	first := true
	for lines.Scan() {
		fmt.Fprintln(log, lines.Text())
		if first {
			p.lines <- lines.Text()
			first = false
		}
	}
	p.err = p.cmd.Wait()
}

// FirstLine waits for the first line on standard output: the program is ready.
func (p *Process) FirstLine(ctx context.Context, within time.Duration) (string, error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case line := <-p.lines:
		return line, nil
	case <-p.done:
		return "", fmt.Errorf("%s ended before it was ready (%v); see %s", p.Name, p.err, p.Log)
	case <-timer.C:
		return "", fmt.Errorf("%s was not ready within %s; see %s", p.Name, within, p.Log)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// PID is the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running says whether it is still running.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends it with SIGKILL and waits.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop asks it to end, and kills it if it has not ended within grace.
func (p *Process) Stop(grace time.Duration) {
	_ = p.Signal(syscall.SIGCONT)
	_ = p.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.Kill()
	}
}

// Programs are the paths of Keywave's built programs.
type Programs struct{ Keywave, Worker, DevServer string }

// ProgramsIn are the programs in a bin directory.
func ProgramsIn(bin string) Programs {
	return Programs{filepath.Join(bin, "keywave"), filepath.Join(bin, "worker"), filepath.Join(bin, "devserver")}
}

// Notice reads every source of the programs below root. A test that builds them
// and calls this is not served from the test cache when a source has changed.
func Notice(root string) error {
	for _, dir := range []string{"activities", "internal", "starter", "worker", "workflows"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(_ string, _ fs.DirEntry, err error) error { return err })
		if err != nil {
			return err
		}
	}
	return nil
}

// DevServer is the path of the embedded server's program below root. It is
// built if it is missing, which takes minutes.
func DevServer(root string) (string, error) {
	path, err := filepath.Abs(filepath.Join(root, "bin", "devserver"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if said, err := exec.Command("make", "-C", root, "bin/devserver").CombinedOutput(); err != nil {
		return "", fmt.Errorf("make bin/devserver: %w\n%s", err, said)
	}
	return path, nil
}

// Temporal is a running embedded server.
type Temporal struct {
	*Process
	Address, UI, DB string
}

const readyWithin = 3 * time.Minute // a busy machine needs long to start a process

// StartTemporal starts the embedded server on db. A port of 0 takes a free one.
// The ports that it returns can be used to start it again on the same file.
func StartTemporal(ctx context.Context, p Programs, db, log string, port, uiPort int) (*Temporal, error) {
	return startTemporal(ctx, p, "", os.Environ(), db, log, port, uiPort)
}

func startTemporal(ctx context.Context, p Programs, dir string, env []string, db, log string, port, uiPort int, flags ...string) (*Temporal, error) {
	if port == 0 {
		port = FreePort()
	}
	if uiPort == 0 {
		uiPort = FreePort()
	}
	flags = append(flags, "--db", db, "--port", strconv.Itoa(port), "--ui-port", strconv.Itoa(uiPort))
	process, err := startIn(dir, "devserver", p.DevServer, log, env, flags...)
	if err != nil {
		return nil, err
	}
	t := &Temporal{Process: process, DB: db}
	line, err := process.FirstLine(ctx, readyWithin)
	if err != nil {
		process.Stop(time.Second)
		return nil, err
	}
	for field := range strings.FieldsSeq(line) {
		if v, ok := strings.CutPrefix(field, "temporal="); ok {
			t.Address = v
		}
		if v, ok := strings.CutPrefix(field, "ui="); ok {
			t.UI = v
		}
	}
	if t.Address == "" {
		process.Stop(time.Second)
		return nil, fmt.Errorf("devserver said %q instead of being ready", line)
	}
	return t, nil
}

// Environment is this process's environment with set, and without anything that
// would lead a Keywave program to another Temporal or another account.
func Environment(set ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TEMPORAL_") && !strings.HasPrefix(v, "TENCENTCLOUD_") && !strings.HasPrefix(v, "SSH_AUTH_SOCK=") {
			env = append(env, v)
		}
	}
	return append(env, set...)
}

// This process gives out no port twice.
type ports struct {
	mu   sync.Mutex
	used map[int]bool
}

var handed = ports{used: map[int]bool{}}

// FreePort is a loopback port that was free a moment ago. The kernel gives none
// of these ports to connections, so a program that is started again finds its
// port free.
func FreePort() int {
	const lowest, ephemeral = 10_000, 32_768
	handed.mu.Lock()
	defer handed.mu.Unlock()
	for {
		port := lowest + rand.IntN(ephemeral-lowest)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		_ = l.Close()
		if !handed.used[port] {
			handed.used[port] = true
			return port
		}
	}
}
