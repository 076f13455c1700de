package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// loopback is where everything listens that users need not reach.
const loopback = "127.0.0.1"

// config is what the flags say. A port of 0 turns the thing off. Only for Port
// it means any free port; the ready line names it.
type config struct {
	DB          string        // absolute path of the SQLite file
	IP          string        // what the frontend listens on
	Port        int           // gRPC, what workers and clients dial
	UIPort      int           // the web UI, always on loopback
	HTTPPort    int           // the frontend's HTTP API
	MetricsPort int           // Prometheus, always on loopback
	ProfilePort int           // profiles of the Go runtime, always on loopback
	Namespace   string        // made if the file does not have it
	Retention   time.Duration // of a namespace that is made now
	LogLevel    string
}

var logLevels = []string{"debug", "info", "warn", "error"}

func parse(args []string, usage io.Writer) (config, error) {
	var c config
	f := flag.NewFlagSet("devserver", flag.ContinueOnError)
	f.StringVar(&c.DB, "db", "", "the SQLite `file` that holds everything; made when missing (required)")
	f.StringVar(&c.IP, "ip", loopback, "the `address` that the frontend listens on")
	f.IntVar(&c.Port, "port", 7233, "the frontend's gRPC `port`; 0 takes a free one")
	f.IntVar(&c.UIPort, "ui-port", 8233, "the web UI's `port`; 0 for no UI")
	f.IntVar(&c.HTTPPort, "http-port", 0, "the `port` of the frontend's HTTP API; 0 for none")
	f.IntVar(&c.MetricsPort, "metrics-port", 0, "the `port` of Prometheus metrics; 0 for none")
	f.IntVar(&c.ProfilePort, "profile-port", 0, "the `port` of net/http/pprof; 0 for none")
	f.StringVar(&c.Namespace, "namespace", "default", "the `name` of the namespace to make when the file does not have it")
	f.DurationVar(&c.Retention, "retention", 30*24*time.Hour, "how long a namespace made now keeps closed workflows")
	f.StringVar(&c.LogLevel, "log-level", "error", "one of "+strings.Join(logLevels, ", ")+"; logs go to standard error")

	f.SetOutput(io.Discard) // a mistake is reported in one line, not in a page
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		f.SetOutput(usage)
		fmt.Fprintln(usage, "Usage: devserver --db FILE [flags]")
		f.PrintDefaults()
	}
	if err != nil {
		return config{}, err
	}
	if f.NArg() > 0 {
		return config{}, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if err := c.validate(); err != nil {
		return config{}, err
	}
	c.DB, err = filepath.Abs(c.DB)
	return c, err
}

// validate reports every mistake at once, in one line.
func (c config) validate() error {
	var wrong []string
	if c.DB == "" {
		wrong = append(wrong, "--db FILE is missing")
	}
	if net.ParseIP(c.IP) == nil {
		wrong = append(wrong, fmt.Sprintf("--ip %q is not an IP address", c.IP))
	}
	seen := map[int]string{}
	for _, p := range []struct {
		flag string
		port int
	}{{"--port", c.Port}, {"--ui-port", c.UIPort}, {"--http-port", c.HTTPPort}, {"--metrics-port", c.MetricsPort}, {"--profile-port", c.ProfilePort}} {
		if p.port < 0 || p.port > 65535 {
			wrong = append(wrong, fmt.Sprintf("%s %d is not a port", p.flag, p.port))
		}
		if other := seen[p.port]; other != "" && p.port != 0 {
			wrong = append(wrong, fmt.Sprintf("%s and %s are both %d", other, p.flag, p.port))
		}
		seen[p.port] = p.flag
	}
	if c.Namespace == "" {
		wrong = append(wrong, "--namespace must not be empty")
	}
	if c.Retention < time.Hour {
		wrong = append(wrong, fmt.Sprintf("--retention %s is shorter than 1h", c.Retention))
	}
	if !slices.Contains(logLevels, c.LogLevel) {
		wrong = append(wrong, fmt.Sprintf("--log-level %q is not one of %s", c.LogLevel, strings.Join(logLevels, ", ")))
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// frontend is the address at which the frontend is dialled. It does not always
// listen at that one.
func (c config) frontend() string {
	host := c.IP
	if ip := net.ParseIP(c.IP); ip.IsUnspecified() {
		host = loopback
	}
	return net.JoinHostPort(host, strconv.Itoa(c.Port))
}

// ui is the web UI's address for a browser, or "off".
func (c config) ui() string {
	if c.UIPort == 0 {
		return "off"
	}
	return fmt.Sprintf("http://%s:%d", loopback, c.UIPort)
}
