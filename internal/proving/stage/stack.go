package stage

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Config describes a Stack.
type Config struct {
	// Bin is the directory of the programs, Dir that of everything that the stack
	// writes.
	Bin, Dir string
	// Zones and Hosts are the numbers for the simulator. Each zone has HostsEach of
	// the hosts; 0 is a mixture. Limit is its calls per second and action, Settings the
	// campaign section of its fleet file.
	Zones, Hosts, HostsEach, Limit int
	Settings                       string
	Workers                        int
	// WorkerFlags are additional flags of worker i. Without them a worker plays
	// every role.
	WorkerFlags [][]string
	// ServerFlags are additional flags of the Temporal server, WorkerEnv
	// additional variables of the workers.
	ServerFlags, WorkerEnv []string
	// Roles, where it is set, says what each worker is given, instead of Workers,
	// WorkerFlags and WorkerEnv. It is asked once the simulator's files and the keysets
	// are there.
	Roles func(*Stack) ([]Role, error)
	// FirstWorker, where it is set, is the program of the first workers. Those that are
	// started later are of Bin.
	FirstWorker string
	// TemporalPort, where it is not 0, is that of a Temporal on this machine that
	// somebody else starts and ends. Namespace is the default one where it is empty.
	TemporalPort int
	Namespace    string
	// ClientEnv are additional variables of every client of Temporal.
	ClientEnv []string
	// Campaign is the name of the campaign that Finish and Check are about.
	Campaign string
}

// Role is everything that a worker is given, besides the address of Temporal.
type Role struct {
	Name       string
	Flags, Env []string
}

// Stack is a whole Keywave of real processes: the simulator, the embedded
// Temporal server and workers.
type Stack struct {
	Config
	Programs Programs
	Temporal *Temporal
	Sim      *Process
	Workers  []*Process
	Places   Places
	Port     int
	UIPort   int
	Said     []string // what the CLI printed, for the leak check

	roles []Role
}

// Places is what keywave sim --output json prints.
type Places struct {
	Endpoint, Control, Fleet, Credentials, Identity string
}

// Raise starts everything. The stack must be struck even if Raise failed.
func Raise(ctx context.Context, c Config) (*Stack, error) {
	s := &Stack{Config: c, Port: FreePort(), UIPort: FreePort()}
	for _, path := range []*string{&s.Bin, &s.Dir} { // processes have working directories of their own
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return s, err
		}
		*path = absolute
	}
	s.Programs = ProgramsIn(s.Bin)
	home, env, err := s.Home("sim")
	if err != nil {
		return s, err
	}
	s.Sim, err = startIn(home, "sim", s.Programs.Keywave, s.Log("sim"), env, "sim", "--output", "json",
		"--dir", filepath.Join(s.Dir, worldDir), "--zones", strconv.Itoa(c.Zones), "--hosts", strconv.Itoa(c.Hosts), "--hosts-each", strconv.Itoa(c.HostsEach),
		"--limit", strconv.Itoa(c.Limit), "--campaign", c.Settings)
	if err != nil {
		return s, err
	}
	line, err := s.Sim.FirstLine(ctx, readyWithin)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(line), &s.Places); err != nil {
		return s, fmt.Errorf("the simulator said %q: %w", line, err)
	}
	if c.TemporalPort != 0 {
		s.Port = c.TemporalPort
	} else if err := s.FirstTemporal(ctx); err != nil {
		return s, err
	}
	for _, of := range [][]string{{"hk"}, {"eu-west"}, {"--account", "default"}} {
		if _, err := s.CLI(ctx, append([]string{"keyring", "create", "--keyring", s.Keyring()}, of...)...); err != nil {
			return s, err
		}
	}
	s.Workers = make([]*Process, c.Workers)
	if c.Roles != nil {
		if s.roles, err = c.Roles(s); err != nil {
			return s, err
		}
		s.Workers = make([]*Process, len(s.roles))
	}
	s.Programs.Worker = cmp.Or(c.FirstWorker, s.Programs.Worker)
	for i := range s.Workers {
		if err := s.StartWorker(i); err != nil {
			return s, err
		}
	}
	s.Programs = ProgramsIn(s.Bin)
	return s, nil
}

// FirstTemporal starts the server for the first time. If a port that was free a
// moment ago is taken by now, it takes others.
func (s *Stack) FirstTemporal(ctx context.Context) error {
	var err error
	for range 3 {
		if err = s.StartTemporal(ctx); err == nil {
			return nil
		}
		s.Port, s.UIPort = FreePort(), FreePort()
	}
	return err
}

// Log is the file for a process's output.
func (s *Stack) Log(name string) string { return filepath.Join(s.Dir, name+".log") }

// Keyring is the directory of the keysets.
func (s *Stack) Keyring() string { return filepath.Join(s.Dir, "keyring") }

// StartTemporal starts the server, or starts it again on the same file and port.
func (s *Stack) StartTemporal(ctx context.Context) error {
	home, env, err := s.Home("devserver")
	if err != nil {
		return err
	}
	s.Temporal, err = startTemporal(ctx, s.Programs, home, env, filepath.Join(s.Dir, "temporal.db"), s.Log("devserver"), s.Port, s.UIPort, s.ServerFlags...)
	return err
}

// StartWorker starts worker i, or starts it again.
func (s *Stack) StartWorker(i int) error {
	r := s.role(i)
	home, env, err := s.Home(r.Name)
	if err != nil {
		return err
	}
	s.Workers[i], err = startIn(home, r.Name, s.Programs.Worker, s.Log(r.Name), slices.Concat(env, s.address(), r.Env), r.Flags...)
	return err
}

// role is what worker i is given.
func (s *Stack) role(i int) Role {
	if s.roles != nil {
		return s.roles[i]
	}
	flags := []string{"--fleet", s.Places.Fleet, "--keyring", s.Keyring(), "--ssh-identity", s.Places.Identity, "--ssh-agent", "none"}
	if i < len(s.WorkerFlags) {
		flags = append(flags, s.WorkerFlags[i]...)
	}
	return Role{fmt.Sprintf("worker-%d", i), flags, append(s.credentials(), s.WorkerEnv...)}
}

// Home makes a process's home, which is also its working directory and holds
// its temporary files. So whatever the process writes by itself is found below
// Dir. It returns the environment that says so. A process that is started again
// gets the same home.
func (s *Stack) Home(name string) (dir string, env []string, err error) {
	dir = filepath.Join(s.Dir, "home", name)
	temp := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return "", nil, err
	}
	return dir, Environment("HOME="+dir, "TMPDIR="+temp,
		"XDG_CONFIG_HOME="+filepath.Join(dir, ".config"), "XDG_DATA_HOME="+filepath.Join(dir, ".local", "share"),
		"XDG_STATE_HOME="+filepath.Join(dir, ".local", "state"), "XDG_CACHE_HOME="+filepath.Join(dir, ".cache")), nil
}

// address is the environment that leads a program to this stack's Temporal,
// credentials that which leads it to its account.
func (s *Stack) address() []string {
	return append([]string{fmt.Sprintf("TEMPORAL_ADDRESS=127.0.0.1:%d", s.Port), "TEMPORAL_NAMESPACE=" + cmp.Or(s.Namespace, "default")}, s.ClientEnv...)
}

func (s *Stack) credentials() []string {
	return []string{"TENCENTCLOUD_CREDENTIALS_FILE=" + s.Places.Credentials}
}

// CLI runs keywave as an operator would.
func (s *Stack) CLI(ctx context.Context, args ...string) (string, error) {
	ran, err := s.Run(ctx, args...)
	return ran.Stdout, err
}

// Ran is what a command printed, and its exit code. The code is -1 when the
// command was killed.
type Ran struct {
	Stdout, Stderr string
	Code           int
}

// Run is CLI, and returns everything that the command printed. It fails if the
// command did not exit with 0.
func (s *Stack) Run(ctx context.Context, args ...string) (Ran, error) {
	ctx, cancel := context.WithTimeout(ctx, cliWithin)
	defer cancel()
	ran, err := s.run(ctx, args)
	s.Said = append(s.Said, ran.Stdout, ran.Stderr)
	return ran, err
}

const cliWithin = 3 * time.Minute

// As is Run by somebody else, who has other variables instead of ClientEnv.
func (s *Stack) As(ctx context.Context, env []string, args ...string) (Ran, error) {
	other := *s
	other.ClientEnv = env
	ctx, cancel := context.WithTimeout(ctx, cliWithin)
	defer cancel()
	ran, err := other.run(ctx, args)
	s.Said = append(s.Said, ran.Stdout, ran.Stderr)
	return ran, err
}

// Detached is CLI for a command that runs beside others. Its output is not
// kept.
func (s *Stack) Detached(ctx context.Context, args ...string) (string, error) {
	ran, err := s.run(ctx, args)
	return ran.Stdout, err
}

func (s *Stack) run(ctx context.Context, args []string) (Ran, error) {
	home, env, err := s.Home("operator")
	if err != nil {
		return Ran{}, err
	}
	cmd := exec.CommandContext(ctx, s.Programs.Keywave, args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = home, slices.Concat(env, s.address(), s.credentials()), ownGroup()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("keywave %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return Ran{out.String(), errs.String(), cmd.ProcessState.ExitCode()}, err
}

// StartCampaign plans the simulator's fleet and runs the plan.
func (s *Stack) StartCampaign(ctx context.Context) error {
	_, err := s.CLI(ctx, "campaign", "start", "-f", s.Places.Fleet, "--name", s.Campaign)
	return err
}

// Status is the part of a campaign's status that is used here.
type Status struct {
	State    string         `json:"state"`
	Zones    map[string]int `json:"zones"`
	InFlight int            `json:"inFlight"`
}

// Status asks the CLI.
func (s *Stack) Status(ctx context.Context) (Status, error) {
	var st Status
	out, err := s.CLI(ctx, "campaign", "status", s.Campaign, "--output", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &st)
	}
	return st, err
}

// Heal ends every bad day and starts every process that is not running.
func (s *Stack) Heal(ctx context.Context) error {
	if err := s.Control(ctx, http.MethodDelete, "/faults", nil, nil); err != nil {
		return err
	}
	hosts, err := s.Hosts(ctx)
	if err != nil {
		return err
	}
	for name := range hosts {
		if err := s.Control(ctx, http.MethodDelete, "/hosts/"+name+"/bad", nil, nil); err != nil {
			return err
		}
	}
	if s.Temporal != nil {
		_ = s.Temporal.Signal(syscall.SIGCONT)
		if !s.Temporal.Running() {
			if err := s.StartTemporal(ctx); err != nil {
				return err
			}
		}
	}
	for i, w := range s.Workers {
		_ = w.Signal(syscall.SIGCONT)
		if !w.Running() {
			if err := s.StartWorker(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// Finish resumes again and again until every zone is done.
func (s *Stack) Finish(ctx context.Context, within time.Duration) (Status, error) {
	deadline := time.Now().Add(within)
	var st Status
	err := ErrNotDone
	for time.Now().Before(deadline) && ctx.Err() == nil {
		var asked error
		if st, asked = s.Status(ctx); asked != nil {
			err = asked
		} else if st.State == "done" {
			return st, nil
		}
		if asked == nil && (st.State == "paused" || st.State == "ended" || st.State == "cancelled") {
			if _, err = s.CLI(ctx, "campaign", "resume", s.Campaign, "--reason", "healed"); err == nil {
				err = ErrNotDone
			}
		}
		if Pause(ctx, time.Second) != nil {
			break
		}
	}
	return st, errors.Join(err, ctx.Err())
}

// ErrNotDone says that a campaign did not end in time with every zone done.
var ErrNotDone = errors.New("the campaign did not end with every zone done")

// Pause waits for a time. It fails if ctx ends before.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Until asks until the answer is yes, the time is over or ctx ends. After each
// answer it rests for four times as long as the answer took, so that the
// machine has time for what is asked about.
func Until(ctx context.Context, within time.Duration, yes func() bool) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); {
		asked := time.Now()
		if yes() {
			return true
		}
		if Pause(ctx, min(max(restLeast, 4*time.Since(asked)), restMost)) != nil {
			return false
		}
	}
	return yes()
}

const (
	restLeast = 100 * time.Millisecond
	restMost  = time.Second
)

// Control asks the simulator.
func (s *Stack) Control(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.Places.Control+path, body)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("simulator: %s %s: %s: %s", method, path, resp.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// Strike ends everything at once. What must be kept is on disk.
func (s *Stack) Strike() {
	for _, w := range s.Workers {
		if w != nil && w.Running() {
			w.Stop(10 * time.Second)
		}
	}
	if s.Temporal != nil && s.Temporal.Running() {
		s.Temporal.Stop(10 * time.Second)
	}
	if s.Sim != nil && s.Sim.Running() {
		s.Sim.Stop(10 * time.Second)
	}
}
