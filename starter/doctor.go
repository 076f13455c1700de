package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keywave/internal/fleet"
	"keywave/internal/rotation"
)

// level is how a check came out.
type level string

// The levels. Only failures make the doctor exit 2.
const (
	levelOK    level = "ok"
	levelNote  level = "note"  // cannot be told, and nothing says that it is wrong
	levelWarn  level = "warn"  // works, but not as it should
	levelFail  level = "fail"  // rotations will be refused or fail
	levelFixed level = "fixed" // was not as it should be until now
)

// check is one thing that was checked, and what to do about it.
type check struct {
	What  string `json:"what"`
	Level level  `json:"level"`
	Saw   string `json:"saw"`
	// Remedy is what to do or, of what was fixed, what was done.
	Remedy string `json:"remedy,omitempty"`
	// fix mends it and says what it did; nil where Keywave owns nothing.
	fix func(context.Context) (string, error)
}

// failed is a check that could not be made.
func failed(what string, err error, remedy string) check {
	return check{What: what, Level: levelFail, Saw: err.Error(), Remedy: remedy}
}

type doctorOptions struct {
	fleetFile string
	keyring   string
	fix       bool
	policy    bool
	rehearse  bool
	// strategy is tried on zone, and reason says why.
	strategy, zone, reason string
}

func (a *app) doctor() *cobra.Command {
	o := &doctorOptions{}
	cmd := &cobra.Command{
		Use: "doctor", Short: "What is wrong with Temporal, workers, credentials, keysets and hosts, and how to mend it",
		Long: `Check everything that a rotation needs, and change nothing. With a fleet file,
the workers are asked too: the account's worker reads the key of one zone, and
each host proves that it can take one.

Each line is ok, note (nobody can say), warn or fail; exit code 2 means that
something failed. --fix mends what belongs to Keywave in Temporal: the namespace,
its retention and the search attributes. It touches no host.

--rehearse alone changes hosts: on each it puts the file of one zone over itself,
with the same content, by all that a delivery does, reload and verify included.

--strategy staged changes the key of the one zone that --zone names, twice: a staged
rotation, and its rollback, after which the zone has the key that it had. It tells what
EdgeOne's pages do not say. The fleet file must set campaign: rollbackFor.`,
		Example: "  keywave doctor -f fleet.yaml\n  keywave doctor -f fleet.yaml --rehearse\n  keywave doctor -f fleet.yaml --strategy staged --zone zone-27q0p0bal192 --reason \"to try it\"\n  keywave doctor --fix\n  keywave doctor --policy > policy.json\n  keywave doctor --policy hosts -f fleet.yaml", Args: o.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 0 && args[0] == policyStaged:
				return a.showPolicy(leastPolicy(actionRefresh, actionModify))
			case len(args) > 0:
				return a.showHostsPolicy(o.fleetFile)
			case o.policy:
				return a.showPolicy(leastPolicy(actionRefresh))
			}
			if o.rehearse && o.fleetFile == "" {
				return wrongUse(cmd, "--rehearse needs the hosts: name the fleet file with -f")
			}
			look := a.examine
			if o.strategy+o.zone+o.reason != "" {
				if o.strategy != string(rotation.Staged) || o.zone == "" || o.fleetFile == "" || o.reason == "" {
					return wrongUse(cmd, "what the live API does with staged keys is tried on one zone: --strategy staged --zone ZONE -f fleet.yaml --reason R")
				}
				look = a.tryStaged
			}
			checks, err := look(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := a.print(checks, func(w io.Writer) { showChecks(w, checks) }); err != nil {
				return err
			}
			if n := count(checks, levelFail); n > 0 {
				return notDone(fmt.Errorf("%d of %d checks failed", n, len(checks)))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.fleetFile, "fleet", "f", "", "also check the queues, workers, keysets and hosts of this fleet file")
	f.StringVar(&o.keyring, "keyring", "", "directory of the keysets (default $XDG_DATA_HOME/keywave/keyring)")
	f.BoolVar(&o.fix, "fix", false, "mend the namespace, its retention and the search attributes")
	f.BoolVar(&o.rehearse, "rehearse", false, "have each host put one of its files over itself, then reload and verify")
	f.StringVar(&o.strategy, "strategy", "", "with the word staged: try it on one zone, by a rotation and its rollback")
	f.StringVar(&o.zone, "zone", "", "with --strategy: that zone")
	f.StringVar(&o.reason, "reason", "", "with --strategy: why, for the record")
	f.BoolVar(&o.policy, "policy", false, "print the least CAM policy that the account's credentials need, or with the word staged that for the strategy staged, or with the word hosts what sudoers needs on hosts; and do nothing else")
	return cmd
}

// args takes the word hosts or staged behind --policy, and nothing else.
func (o *doctorOptions) args(cmd *cobra.Command, args []string) error {
	switch {
	case o.policy && len(args) == 1 && args[0] == policyStaged:
		return nil
	case !o.policy || len(args) != 1 || args[0] != policyHosts:
		return exactly()(cmd, args)
	case o.fleetFile == "":
		return wrongUse(cmd, "doctor --policy hosts needs a fleet file: -f fleet.yaml")
	}
	return nil
}

func (a *app) examine(ctx context.Context, o *doctorOptions) ([]check, error) {
	var f *fleet.Fleet
	if o.fleetFile != "" {
		var err error
		if f, err = readFleet(o.fleetFile); err != nil {
			return nil, err
		}
	}
	checks, conn := a.examineTemporal(ctx, o.fix)
	if conn != nil {
		defer conn.Close()
	}
	if f == nil {
		return checks, nil
	}
	bare := f
	if conn == nil {
		return append(checks, checkKeyring(f, o.keyring)...), nil
	}
	for _, q := range queuesOf(f) {
		checks = append(checks, q.check(ctx, conn)...)
	}
	checks = append(checks, checkFleets(ctx, conn, f, o.fleetFile))
	f, err := resolve(ctx, conn, f)
	if err != nil {
		return append(append(checks, failed(whatZones, err, "see zones in the fleet file, and what else is wrong here")), checkKeyring(bare, o.keyring)...), nil
	}
	if from := f.Source.String(); from != "" {
		checks = append(checks, check{What: whatZones, Level: levelOK, Saw: fmt.Sprintf("%d, from %s", len(f.Zones), from)})
	}
	return append(append(checks, examineWorkers(ctx, conn, f, o)...), warnOfTerraform()), nil
}

// warnOfTerraform names the tool that most often sets a key beside Keywave. No
// question to EdgeOne shows whether it is used.
func warnOfTerraform() check {
	return check{
		What: "Terraform", Level: levelNote, Saw: "whether a configuration sets these keys cannot be seen from here",
		Remedy: "if one has a tencentcloud_teo_multi_path_gateway_secret_key: its next apply puts the old key back, and every host of the zone is dead; write lifecycle { ignore_changes = [secret_key] } before the first rotation",
	}
}

const whatZones = "zones"

// mend carries out the fixes of checks that are not ok.
func mend(ctx context.Context, checks []check) {
	for i := range checks {
		c := &checks[i]
		if c.fix == nil || c.Level == levelOK {
			continue
		}
		did, err := c.fix(ctx)
		if err != nil {
			c.Saw += "; it could not be mended: " + err.Error()
			continue
		}
		c.Level, c.Remedy = levelFixed, did
	}
}

func count(checks []check, l level) int {
	n := 0
	for _, c := range checks {
		if c.Level == l {
			n++
		}
	}
	return n
}

func showChecks(w io.Writer, checks []check) {
	for _, c := range checks {
		put(w, "%-6s %s: %s\n", c.Level, c.What, c.Saw)
		if c.Remedy != "" {
			put(w, "       → %s\n", c.Remedy)
		}
	}
	switch notes := count(checks, levelNote); {
	case count(checks, levelFail)+count(checks, levelWarn) > 0:
	case notes > 0:
		put(w, "All is well with what could be checked; %s could not be (note).\n", many(notes, "thing"))
	default:
		put(w, "All is well.\n")
	}
}
