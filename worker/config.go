package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"keywave/activities"
	"keywave/internal/fleet"
	"keywave/internal/rotation"
	"keywave/internal/seal"
	"keywave/internal/version"
)

// The roles.
const (
	roleOrchestrator = "orchestrator"
	roleEdgeOne      = "edgeone"
	roleLocation     = "location"
)

// config is what a worker is told.
type config struct {
	fleetFile  string
	roles      []string
	locations  []string
	accounts   []string
	keyring    string
	identities []string
	knownHosts []string
	agent      string
	listen     string
	logLevel   string
	logForm    string

	// fleet is the file as it was at the start.
	fleet   *fleet.Fleet
	seen    os.FileInfo
	notices *activities.Notices
	id      string
}

func command() *cobra.Command {
	c := &config{}
	cmd := &cobra.Command{
		Use:   "worker --fleet fleet.yaml",
		Short: "Run Keywave's workers: workflows, EdgeOne calls, deliveries",
		Long: `Run Keywave's workers. By default one process plays every role: it runs the
workflows, calls EdgeOne for the fleet file's accounts, and delivers to the hosts
of all its locations. Temporal is found by temporal.toml and TEMPORAL_*,
credentials as the fleet file says, SSH identities as ssh(1) would.`,
		Example: `  worker --fleet fleet.yaml
  worker --fleet fleet.yaml --roles location --locations hk
  worker --fleet fleet.yaml --roles edgeone --accounts cn`,
		Args: noArguments, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.load(); err != nil {
				return err
			}
			return run(cmd.Context(), c)
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use: "version", Short: "Which build this is, with its Go and Temporal SDK", Args: noArguments,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "worker", version.Of()) },
	})
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w; see worker --help", err) })
	f := cmd.Flags()
	f.StringVarP(&c.fleetFile, "fleet", "f", "", "the fleet file (needed by the roles edgeone and location)")
	f.StringSliceVar(&c.roles, "roles", []string{roleOrchestrator, roleEdgeOne, roleLocation}, "roles to play")
	f.StringSliceVar(&c.locations, "locations", nil, "locations to serve (default: all of the fleet file)")
	f.StringSliceVar(&c.accounts, "accounts", nil, "accounts to call EdgeOne for (default: all of the fleet file)")
	f.StringVar(&c.keyring, "keyring", "", "directory of the keysets (default $XDG_DATA_HOME/keywave/keyring)")
	f.StringSliceVar(&c.identities, "ssh-identity", nil, "SSH private key files (default: ~/.ssh/id_*)")
	f.StringSliceVar(&c.knownHosts, "ssh-known-hosts", nil, "known_hosts files for hosts without a pinned key (default: ~/.ssh/known_hosts)")
	f.StringVar(&c.agent, "ssh-agent", "", `socket of an ssh-agent (default: SSH_AUTH_SOCK; "none" for none)`)
	f.StringVar(&c.listen, "listen", "", "address for /metrics, /healthz and /readyz, such as 127.0.0.1:9464 (default: none)")
	f.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&c.logForm, "log-format", "text", "text or json")
	return cmd
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q; see worker --help", args[0])
	}
	return nil
}

// load reads and checks everything before anything is connected.
func (c *config) load() error {
	if len(c.roles) == 0 {
		return errors.New("--roles: no role is left to play; there are orchestrator, edgeone and location")
	}
	for _, role := range c.roles {
		if !slices.Contains([]string{roleOrchestrator, roleEdgeOne, roleLocation}, role) {
			return fmt.Errorf("--roles: no role %q; there are orchestrator, edgeone and location", role)
		}
	}
	if c.keyring == "" {
		dir, err := seal.DefaultDir()
		if err != nil {
			return err
		}
		c.keyring = dir
	}
	var err error
	if c.notices, err = notices(); err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	c.id = fmt.Sprintf("%s-%d-%s", name, os.Getpid(), strings.ToLower(rand.Text()[:6]))
	if !c.plays(roleEdgeOne) && !c.plays(roleLocation) {
		return nil
	}
	if c.fleetFile == "" {
		return fmt.Errorf("--fleet is missing: the roles edgeone and location read endpoint, hosts and commands from the fleet file")
	}
	c.seen, _ = os.Stat(c.fleetFile) // a missing file is named by the next line
	c.fleet, err = fleet.Bare(c.fleetFile)
	if found, ok := errors.AsType[fleet.Mistakes](err); ok && len(found) > 1 {
		return fmt.Errorf("%d mistakes, nothing was started:\n%w", len(found), found)
	}
	if err != nil {
		return err
	}
	for _, a := range c.accounts {
		if known := c.fleet.AccountNames(); !slices.Contains(known, rotation.Account(a)) {
			return fmt.Errorf("--accounts: %s has no account %q; it has %v", c.fleetFile, a, known)
		}
	}
	if c.plays(roleEdgeOne) {
		if err := apart(c.called()); err != nil {
			return err
		}
	}
	for _, l := range c.locations {
		if !slices.Contains(c.fleet.Locations, rotation.Location(l)) {
			return fmt.Errorf("--locations: %s has no location %q; it has %v", c.fleetFile, l, c.fleet.Locations)
		}
	}
	return nil
}

// apart refuses accounts that would be called with one and the same credential.
func apart(accounts []fleet.Account) error {
	for i, a := range accounts {
		for _, b := range accounts[:i] {
			if a.Credentials == b.Credentials {
				return fmt.Errorf("accounts %s and %s both read credentials: %s, which is one credential here; give them different sources in the fleet file, or a worker each: --accounts", b.Name, a.Name, a.Credentials)
			}
		}
	}
	return nil
}

func (c *config) plays(role string) bool { return slices.Contains(c.roles, role) }

// called are the accounts that this worker calls EdgeOne for.
func (c *config) called() []fleet.Account {
	return slices.DeleteFunc(slices.Clone(c.fleet.Accounts), func(a fleet.Account) bool {
		return len(c.accounts) > 0 && !slices.Contains(c.accounts, string(a.Name))
	})
}

// served are the locations whose hosts this worker delivers to.
func (c *config) served() []rotation.Location {
	if len(c.locations) == 0 {
		return c.fleet.Locations
	}
	var served []rotation.Location
	for _, l := range c.locations {
		served = append(served, rotation.Location(l))
	}
	return served
}
