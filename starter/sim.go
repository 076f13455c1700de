package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keywave/internal/proving/sim"
)

func (a *app) sim() *cobra.Command {
	cfg := sim.WorldConfig{}
	var limits []int
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Run a simulated EdgeOne and simulated hosts on loopback",
		Long: `Run a simulated EdgeOne, which speaks Tencent's wire format with real signatures
and limits, and simulated hosts, which are SSH servers with a directory each. It
writes the fleet file, the credentials and the SSH key for them to --dir; with the
same --dir it starts the same world again. Faults are set over the control
address: POST /faults, POST /hosts/NAME/bad.`,
		Example: "  keywave sim --dir sim --zones 60 --hosts 12",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(limits) > max(1, cfg.Accounts) {
				return fmt.Errorf("--limit has %d numbers for %s", len(limits), many(max(1, cfg.Accounts), "account"))
			}
			if cfg.Limit = limits[0]; len(limits) > 1 {
				cfg.Limits = limits
			}
			world, err := sim.NewWorld(cfg)
			if err != nil {
				return err
			}
			defer func() { _ = world.Close() }()
			if err := a.print(simReady(world), func(w io.Writer) { showSim(w, world) }); err != nil {
				return err
			}
			<-cmd.Context().Done()
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Dir, "dir", "sim", "where keys, hosts and files are kept")
	f.IntVar(&cfg.Zones, "zones", 0, "number of zones (default 60, or those of --dir)")
	f.IntVar(&cfg.Hosts, "hosts", 0, "number of hosts (default 12, or those of --dir)")
	f.IntVar(&cfg.HostsEach, "hosts-each", 0, "hosts of each zone (default: a mixture of 1 to 3)")
	f.StringSliceVar(&cfg.Locations, "locations", nil, "locations (default hk,eu-west)")
	f.IntVar(&cfg.Accounts, "accounts", 0, "1 or 2 accounts that share the zones (default 1, or those of --dir)")
	f.IntSliceVar(&limits, "limit", []int{20}, "calls per second and API action, one for all accounts or one for each; below 0 lifts it")
	f.IntVar(&cfg.APIPort, "port", 0, "port of the API (default: that of --dir, or a free one)")
	f.IntVar(&cfg.ControlPort, "control-port", 0, "port of the control address")
	f.IntVar(&cfg.DelayMs, "delay-ms", 0, "network round trip to every host")
	f.BoolVar(&cfg.EmptyHosts, "empty-hosts", false, "hosts begin without the zones' keys")
	f.StringVar(&cfg.Campaign, "campaign", "", `campaign section of the fleet file, for example "{bake: 1s}"`)
	return cmd
}

// simPlaces is where the parts of a world are.
type simPlaces struct {
	Endpoint    string `json:"endpoint"`
	Control     string `json:"control"`
	Fleet       string `json:"fleet"`
	Credentials string `json:"credentials"`
	Identity    string `json:"identity"`
	Role        string `json:"role"`
	WebIdentity string `json:"webIdentity"`
	// Environment is the file with the second account's credential.
	Environment string `json:"environment,omitempty"`
}

func simReady(w *sim.World) simPlaces {
	p := simPlaces{Endpoint: w.Endpoint(), Control: w.ControlURL(), Fleet: w.FleetPath(), Credentials: w.CredentialsPath(), Identity: w.ClientKeyPath(), Role: sim.RoleARN, WebIdentity: w.WebIdentityPath()}
	if len(w.Accounts()) > 1 {
		p.Environment = w.EnvironmentPath()
	}
	return p
}

func showSim(out io.Writer, world *sim.World) {
	p := simReady(world)
	put(out, "ready EdgeOne=%s control=%s\n", p.Endpoint, p.Control)
	put(out, "  fleet file   %s\n  credentials  export TENCENTCLOUD_CREDENTIALS_FILE=%s\n  SSH key      worker --ssh-identity %s\n", p.Fleet, p.Credentials, p.Identity)
	put(out, "  assume-role  arn: %s\n  tke-oidc     export TKE_REGION=ap-hongkong TKE_PROVIDER_ID=%s TKE_ROLE_ARN=%s TKE_WEB_IDENTITY_TOKEN_FILE=%s\n", p.Role, sim.ProviderID, p.Role, p.WebIdentity)
	if p.Environment != "" {
		put(out, "  and of %s  set -a; . %s\n", world.Accounts()[1], p.Environment)
	}
}
