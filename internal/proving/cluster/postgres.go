package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"keywave/internal/proving/stage"
)

// password is PostgreSQL's, and has what YAML, a shell and an address could stumble over.
const password = `p"a'ss$HOME\n#{{:%@/+`

// postgres is a PostgreSQL of our own, that listens on loopback.
type postgres struct {
	*stage.Process
	bin, dir, log string
	port          int
	as            []string // the words by which root runs it as somebody else
}

// newPostgres makes the database's files below dir.
func newPostgres(ctx context.Context, dir string) (*postgres, error) {
	p := &postgres{dir: filepath.Join(dir, "postgres"), log: filepath.Join(dir, "postgres.log"), port: stage.FreePort()}
	installed, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(installed) == 0 {
		return nil, fmt.Errorf("PostgreSQL is not there (%v); make prepare installs it", err)
	}
	p.bin = slices.Max(installed)
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	secret := filepath.Join(p.dir, "password")
	if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
		return nil, err
	}
	if err := p.leaveRoot(dir, secret); err != nil {
		return nil, err
	}
	args := slices.Concat(p.as, []string{
		filepath.Join(p.bin, "initdb"), "-D", p.data(), "-U", "temporal", "--auth=scram-sha-256",
		"--pwfile=" + secret, "--encoding=UTF8", "--locale=C", "--no-sync",
	})
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = p.dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, said)
	}
	return p, p.start(ctx)
}

func (p *postgres) data() string { return filepath.Join(p.dir, "data") }

// leaveRoot gives the files to an unprivileged user: PostgreSQL refuses to run as root.
func (p *postgres) leaveRoot(dir, secret string) error {
	if os.Getuid() != 0 {
		return nil
	}
	nobody, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	for _, path := range []string{p.dir, secret} {
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	p.as = []string{"/usr/bin/setpriv", "--reuid", nobody.Uid, "--regid", nobody.Gid, "--clear-groups", "--pdeathsig", "KILL"}
	return os.Chmod(dir, 0o711) // it passes through
}

const postgresWithin = time.Minute

// start starts it, or starts it again after a kill: what the killed one leaves behind
// ends a moment later.
func (p *postgres) start(ctx context.Context) error {
	args := slices.Concat(p.as, []string{
		filepath.Join(p.bin, "postgres"), "-D", p.data(), "-p", strconv.Itoa(p.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + p.dir,
	})
	var err error
	ready := stage.Until(ctx, postgresWithin, func() bool {
		if p.Process == nil || !p.Running() {
			p.Process, err = stage.Start("postgres", args[0], p.log, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + p.dir}, args[1:]...)
			if err != nil {
				return false
			}
		}
		_, err = p.ask(ctx, "postgres", "SELECT 1")
		return err == nil
	})
	if !ready {
		return fmt.Errorf("PostgreSQL does not answer (%w); see %s", err, p.log)
	}
	return nil
}

// ask runs a statement and returns what it prints.
func (p *postgres) ask(ctx context.Context, database, statement string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "psql"), "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", "temporal", "-XAtc", statement, database)
	cmd.Env = []string{"PGPASSWORD=" + password, "PGCONNECT_TIMEOUT=5"}
	said, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, said)
	}
	return strings.TrimSpace(string(said)), nil
}
