package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"keywave/internal/stage"
)

const workers = 2

// set is a whole Keywave of real processes.
type set struct {
	dir      string
	programs stage.Programs
	temporal *stage.Temporal
	sim      *stage.Process
	workers  [workers]*stage.Process
	places   places
	port, ui int
	said     []string // what the CLI printed, for the leak check
}

// places is what keywave sim --output json prints.
type places struct {
	Endpoint, Control, Fleet, Credentials, Identity string
}

const campaign = "chaos"

// raise starts everything.
func raise(ctx context.Context, bin, dir string, zones, hosts int) (*set, error) {
	s := &set{dir: dir, programs: stage.ProgramsIn(bin), port: stage.FreePort(), ui: stage.FreePort()}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, err
	}
	var err error
	s.sim, err = stage.Start("sim", s.programs.Keywave, s.log("sim"), stage.Environment(), "sim", "--output", "json",
		"--dir", filepath.Join(dir, "world"), "--zones", fmt.Sprint(zones), "--hosts", fmt.Sprint(hosts), "--limit", fmt.Sprint(limit), "--campaign", settings)
	if err != nil {
		return s, err
	}
	line, err := s.sim.FirstLine(ctx, time.Minute)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(line), &s.places); err != nil {
		return s, fmt.Errorf("the simulator said %q: %w", line, err)
	}
	if err := s.startTemporal(ctx); err != nil {
		return s, err
	}
	for _, location := range []string{"hk", "eu-west"} {
		if _, err := s.cli(ctx, "keyring", "create", location, "--keyring", s.keyring()); err != nil {
			return s, err
		}
	}
	for i := range s.workers {
		if err := s.startWorker(i); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *set) log(name string) string { return filepath.Join(s.dir, name+".log") }
func (s *set) keyring() string        { return filepath.Join(s.dir, "keyring") }

func (s *set) startTemporal(ctx context.Context) error {
	var err error
	s.temporal, err = stage.StartTemporal(ctx, s.programs, filepath.Join(s.dir, "temporal.db"), s.log("devserver"), s.port, s.ui)
	return err
}

func (s *set) startWorker(i int) error {
	var err error
	s.workers[i], err = stage.Start(fmt.Sprintf("worker-%d", i), s.programs.Worker, s.log(fmt.Sprintf("worker-%d", i)), s.env(),
		"--fleet", s.places.Fleet, "--keyring", s.keyring(), "--ssh-identity", s.places.Identity, "--ssh-agent", "none")
	return err
}

func (s *set) env() []string {
	return stage.Environment(fmt.Sprintf("TEMPORAL_ADDRESS=127.0.0.1:%d", s.port), "TENCENTCLOUD_CREDENTIALS_FILE="+s.places.Credentials)
}

// cli runs keywave as an operator would.
func (s *set) cli(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.programs.Keywave, args...)
	cmd.Env = s.env()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	s.said = append(s.said, out.String(), errs.String())
	if err != nil {
		return out.String(), fmt.Errorf("keywave %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

func (s *set) startCampaign(ctx context.Context) error {
	_, err := s.cli(ctx, "campaign", "start", "-f", s.places.Fleet, "--name", campaign)
	return err
}

// status is the part of a campaign's status that is looked at.
type status struct {
	State string         `json:"state"`
	Zones map[string]int `json:"zones"`
}

func (s *set) status(ctx context.Context) (status, error) {
	var st status
	out, err := s.cli(ctx, "campaign", "status", campaign, "--output", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &st)
	}
	return st, err
}

// heal ends every bad day and has every process run.
func (s *set) heal(ctx context.Context) error {
	if err := s.control(ctx, http.MethodDelete, "/faults", nil, nil); err != nil {
		return err
	}
	hosts, err := s.hosts(ctx)
	if err != nil {
		return err
	}
	for name := range hosts {
		if err := s.control(ctx, http.MethodDelete, "/hosts/"+name+"/bad", nil, nil); err != nil {
			return err
		}
	}
	_ = s.temporal.Signal(syscall.SIGCONT)
	if !s.temporal.Running() {
		if err := s.startTemporal(ctx); err != nil {
			return err
		}
	}
	for i, w := range s.workers {
		_ = w.Signal(syscall.SIGCONT)
		if !w.Running() {
			if err := s.startWorker(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish resumes as often as it takes until every zone is done.
func (s *set) finish(ctx context.Context, within time.Duration) (status, error) {
	deadline := time.Now().Add(within)
	var st status
	err := errNotDone
	for time.Now().Before(deadline) && ctx.Err() == nil {
		var asked error
		if st, asked = s.status(ctx); asked != nil {
			err = asked
		} else if st.State == "done" {
			return st, nil
		}
		if asked == nil && (st.State == "paused" || st.State == "ended" || st.State == "cancelled") {
			if _, err = s.cli(ctx, "campaign", "resume", campaign, "--reason", "healed"); err == nil {
				err = errNotDone
			}
		}
		if pause(ctx, time.Second) != nil {
			break
		}
	}
	return st, errors.Join(err, ctx.Err())
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// control asks the simulator.
func (s *set) control(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.places.Control+path, body)
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

// strike ends everything at once; what is to be kept is on disk.
func (s *set) strike() {
	for _, w := range s.workers {
		if w != nil && w.Running() {
			w.Stop(10 * time.Second)
		}
	}
	if s.temporal != nil && s.temporal.Running() {
		s.temporal.Stop(10 * time.Second)
	}
	if s.sim != nil && s.sim.Running() {
		s.sim.Stop(10 * time.Second)
	}
}
