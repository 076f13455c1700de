// Package exec delivers keys by a program that the operator names, on the machine
// of the location's worker: the way to what no other transport reaches. A program is
// called once for one host, with what is to be done as its last argument:
//
//	prove  show that it can take a key for each zone, and change nothing
//	put    make it hold the key for the one zone, if it holds what is expected
//	held   say what it holds for each zone, and change nothing
//
// On standard input comes a line of JSON, {"zones":[…],"host":…}, for put with
// "expect", the fingerprints of which the host must hold one; then, for put alone, a
// line with the key. The program answers with JSON objects, one a line:
// {"zone":…,"held":…} for each zone, where held is a fingerprint or "absent" and is
// what the host holds when the program ends, or {"step":…,"problem":…}, where step
// is one of rotation's host steps. It ends with status 0, or there was a problem.
package exec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"keywave/internal/deliver"
	"keywave/internal/rotation"
)

// Config is one host of the fleet file.
type Config struct {
	Name rotation.HostName
	// Command is the absolute path of the program and its arguments.
	Command []string
	// Timeout ends one call; default 15 s.
	Timeout time.Duration
}

// Host is a rotation.Host to which a program brings keys.
type Host struct {
	cfg   Config
	slots chan struct{}
}

var _ rotation.Host = (*Host)(nil)

const (
	defaultTimeout = 15 * time.Second
	maxAtOnce      = 8
	// endGrace is the time between SIGTERM and SIGKILL. It is also how long
	// output is read when the program has ended and a child holds the output
	// open.
	endGrace = time.Second
)

// The verbs of a call.
const (
	verbProve = "prove"
	verbPut   = "put"
	verbHeld  = "held"
)

// New makes a host and starts nothing.
func New(cfg Config) (*Host, error) {
	if len(cfg.Command) == 0 || !filepath.IsAbs(cfg.Command[0]) {
		return nil, errors.New("command must begin with the absolute path of a program")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	return &Host{cfg: cfg, slots: make(chan struct{}, maxAtOnce)}, nil
}

// Prove implements rotation.Host.
func (h *Host) Prove(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	return h.shown(ctx, verbProve, zones)
}

// Held implements rotation.Host.
func (h *Host) Held(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	return h.shown(ctx, verbHeld, zones)
}

// shown is what the program says; how it keeps a key is its own affair.
func (h *Host) shown(ctx context.Context, verb string, zones []rotation.ZoneID) (rotation.Shown, error) {
	held, err := h.call(ctx, order{verb: verb, Zones: zones, Host: h.cfg.Name})
	return rotation.Shown{Held: held}, err
}

// Put implements rotation.Host.
func (h *Host) Put(ctx context.Context, zone rotation.ZoneID, key rotation.Secret, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	if err := deliver.CheckKey(key); err != nil {
		return "", err
	}
	if expect == nil {
		expect = []rotation.Fingerprint{}
	}
	all, err := h.call(ctx, order{verb: verbPut, Zones: []rotation.ZoneID{zone}, Host: h.cfg.Name, Expect: &expect, key: key})
	if err != nil {
		return "", err
	}
	held := all[zone]
	if held == rotation.FingerprintOf(zone, key) {
		return held, nil
	}
	if slices.Contains(expect, held) {
		return "", h.failed(rotation.StepWrite, fmt.Sprintf("%s ended with status 0, and says that the host still holds %s instead of the key that it was given; the host still holds what it held before: correct the program", h.cfg.Command[0], held))
	}
	return "", &rotation.HeldError{Held: held}
}

// Close has nothing to drop.
func (h *Host) Close() error { return nil }

// order is what a program is asked to do; its JSON is the first line of standard
// input.
type order struct {
	Zones []rotation.ZoneID `json:"zones"`
	Host  rotation.HostName `json:"host"`
	// Expect is set for a put only.
	Expect *[]rotation.Fingerprint `json:"expect,omitempty"`

	verb string
	key  rotation.Secret
}

// input is what the program reads.
func (o order) input() ([]byte, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	line = append(line, '\n')
	if o.verb == verbPut {
		line = append(append(line, o.key.Expose()...), '\n')
	}
	return line, nil
}

// remains says what is still true when a call ended without an answer.
func (o order) remains() string {
	if o.verb == verbPut {
		return "what the host holds is not known until it is asked again"
	}
	return "the program was given no key"
}

// call runs the program once, and returns what it says that the host holds for each
// zone.
func (h *Host) call(ctx context.Context, o order) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	for _, zone := range o.Zones {
		if err := rotation.CheckName(string(zone)); err != nil {
			return nil, h.failed(rotation.StepWrite, fmt.Sprintf("zone ID %q: %s", string(zone), err))
		}
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return nil, deliver.Stopped(ctx, rotation.StepSession, h.says("given up before its program was started"))
	}
	if err := guarded(h.cfg.Command[0]); err != nil {
		return nil, h.failed(rotation.StepConnect, err.Error()+"; the program was not started")
	}
	return h.run(ctx, o)
}

func (h *Host) run(ctx context.Context, o order) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	in, err := o.input()
	if err != nil {
		return nil, h.failed(rotation.StepSession, "its program was not started: "+err.Error())
	}
	defer clear(in)
	timed, cancel := context.WithTimeoutCause(ctx, h.cfg.Timeout, errTimeout)
	defer cancel()
	bounded, enough := context.WithCancelCause(timed)
	defer enough(nil)
	a := newAnswers(o.Zones, enough)
	cmd := h.command(bounded, o.verb)
	var complaint deliver.LastLine
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), a, &complaint
	if err := cmd.Start(); err != nil {
		return nil, h.failed(rotation.StepConnect, notStarted(h.cfg.Command[0], err))
	}
	ended := cmd.Wait()
	// Anything that the program left behind could put an older key in place
	// later.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	a.end()
	return h.judge(ctx, bounded, o, a, ending{err: ended, state: cmd.ProcessState.String(), said: complaint.String()})
}

// command is the program in a process group of its own. It ends when ctx does.
func (h *Host) command(ctx context.Context, verb string) *exec.Cmd {
	args := append(append([]string{}, h.cfg.Command[1:]...), verb)
	cmd := exec.CommandContext(ctx, h.cfg.Command[0], args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = "/", environment(), endGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	return cmd
}

var errTimeout = errors.New("timeout")

// ending is how a program ended: a nil error for status 0, and the last line of
// its stderr.
type ending struct {
	err         error
	state, said string
}

// ok says that the status was 0, even if a child held the output open.
func (e ending) ok() bool { return e.err == nil || errors.Is(e.err, exec.ErrWaitDelay) }

// judge turns the end of a call into its result. ctx is the caller's context,
// bounded is the program's.
func (h *Host) judge(ctx, bounded context.Context, o order, a *answers, e ending) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	program := h.cfg.Command[0]
	session := func(why string) error { return h.failed(rotation.StepSession, program+" "+why+"; "+o.remains()) }
	cause := context.Cause(bounded)
	switch {
	case errors.Is(cause, errTooMuch):
		return nil, session(fmt.Sprintf("printed more than %d bytes, and was ended", a.most()))
	case a.problem != nil:
		return nil, h.failed(a.problem.step(), h.told(o, a.problem, e.said))
	case e.ok() && a.wrong != "":
		return nil, session(a.wrong)
	case e.ok() && len(a.missing()) > 0:
		return nil, session(fmt.Sprintf("answered for %d of %d zones, not for %s", len(o.Zones)-len(a.missing()), len(o.Zones), a.missing()[0]))
	case e.ok():
		return a.held, nil
	case ctx.Err() != nil:
		return nil, deliver.Stopped(ctx, rotation.StepSession, h.says(program+" was ended, because the call was given up; "+o.remains()))
	case errors.Is(cause, errTimeout):
		return nil, session(fmt.Sprintf("did not end within %s, and was ended with its process group%s", h.cfg.Timeout, h.saying(o, e.said)))
	}
	return nil, session("ended with " + e.state + h.saying(o, e.said))
}

// saying is the end of a sentence about a program that failed: what it printed
// last.
func (h *Host) saying(o order, said string) string {
	if said = h.scrub(o, said); said == "" {
		return ", saying nothing"
	}
	return `, saying "` + said + `"`
}

// told is the error for a problem in the program's own words, with the last
// line of its stderr.
func (h *Host) told(o order, p *problem, said string) string {
	why := h.scrub(o, p.text())
	if said = h.scrub(o, said); said != "" {
		why += ` (its program's last words: "` + said + `")`
	}
	return why
}

// maxSaid is how much of a program's words is shown: a sentence or two.
const maxSaid = 500

// scrub takes everything that may be a key out of a program's words. Words of
// the fleet file are no keys.
func (h *Host) scrub(o order, text string) string {
	known := append([]string{string(o.Host)}, h.cfg.Command...)
	for _, zone := range o.Zones {
		known = append(known, string(zone))
	}
	return deliver.Scrubber{Known: known, Most: maxSaid}.Scrub(text, o.key)
}

// says puts the host's name before a reason.
func (h *Host) says(why string) string { return fmt.Sprintf("%s: %s", h.cfg.Name, why) }

func (h *Host) failed(step rotation.HostStep, why string) error {
	return &rotation.HostError{Step: step, Why: h.says(why)}
}

// notStarted says why a program could not be started, and what to do.
func notStarted(program string, err error) string {
	do := "see its file"
	switch {
	case errors.Is(err, syscall.ETXTBSY):
		do = "somebody writes to it now; replace a program by a rename"
	case errors.Is(err, syscall.ENOENT):
		do = "its first line names an interpreter that is not there"
	case errors.Is(err, syscall.EACCES):
		do = "let the worker's user execute it: chmod +x"
	case errors.Is(err, syscall.ENOEXEC):
		do = "a script begins with the line #!/bin/sh"
	}
	if cause := errors.Unwrap(err); cause != nil {
		err = cause
	}
	return fmt.Sprintf("%s cannot be started: %s; %s", program, strings.TrimSpace(err.Error()), do)
}
