package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"keywave/activities"
	"keywave/internal/fleet"
	"keywave/internal/harmless"
	"keywave/internal/plan"
	"keywave/internal/planning"
	"keywave/internal/rotation"
	"keywave/internal/seal"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// hostsPerCheckup keeps a workflow's input and result far below Temporal's 2 MB.
const hostsPerCheckup = 500

// examineWorkers lets the workers try what only they can: credentials, clock,
// keysets and hosts. Where none answers, only the keysets on this machine can be
// checked.
func examineWorkers(ctx context.Context, conn *temporalclient.Connection, f *fleet.Fleet, o *doctorOptions) []check {
	const what = "workers"
	keyring := o.keyring
	polled, err := hasPollers(ctx, conn, workflows.Queue, enums.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil {
		return append([]check{failed(what, err, "may "+operator()+" describe the task queues of namespace "+conn.Namespace+"?")}, checkKeyring(f, keyring)...)
	}
	if !polled {
		c := check{What: what, Level: levelNote, Saw: "credentials, clock and hosts were not tried: that takes a worker with the orchestrator role"}
		if o.rehearse {
			c.Level, c.Remedy = levelFail, "start one, then rehearse again; no host was changed"
		}
		return append([]check{c}, checkKeyring(f, keyring)...)
	}
	outs, err := checkup(ctx, conn, f, o.rehearse)
	if err != nil {
		return append([]check{failed(what, err, "read the log of the worker with the orchestrator role")}, checkKeyring(f, keyring)...)
	}
	var checks []check
	var sealed []workflows.CheckupOut
	for _, a := range f.Accounts {
		first := outs[a.Name][0]
		checks = append(checks, checkAccount(f, a, first)...)
		if first.Unsealed == "" {
			sealed = append(sealed, outs[a.Name]...)
			continue
		}
		checks = append(checks, check{What: "keysets of " + string(a.Name), Level: levelFail, Saw: first.Unsealed, Remedy: "give the edgeone worker the public keysets of all locations: keywave keyring --help"})
	}
	if len(sealed) == 0 {
		return append(checks, checkKeyring(f, keyring)...)
	}
	for _, l := range f.Locations {
		checks = append(checks, checkLocation(l, sealed)...)
	}
	remedyOfPrograms(f, checks)
	if o.rehearse {
		checks = append(checks, checkRehearsed(f, sealed)...)
	}
	return checks
}

// checkup runs one workflow for each part of the hosts of each account, all at
// once.
func checkup(ctx context.Context, conn *temporalclient.Connection, f *fleet.Fleet, rehearse bool) (map[rotation.Account][]workflows.CheckupOut, error) {
	name := planning.Unique(time.Now())
	var runs []client.WorkflowRun
	var whose []rotation.Account
	for _, a := range f.Accounts {
		zones := f.ZonesOf(a.Name)
		for hosts := range slices.Chunk(proofsAsked(f, zones), hostsPerCheckup) {
			run, err := conn.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
				ID: workflows.CheckupID(name, len(runs)+1), TaskQueue: workflows.Queue,
				StaticSummary: harmless.Summary("checkup of " + many(len(hosts), "host") + " by " + operator()),
			}, workflows.TypeCheckup, workflows.CheckupIn{Account: a.Name, Zone: zones[0].ID, Hosts: hosts, Rehearse: rehearse})
			if err != nil {
				return nil, fmt.Errorf("the checkup cannot be started: %w", err)
			}
			runs, whose = append(runs, run), append(whose, a.Name)
		}
	}
	outs := map[rotation.Account][]workflows.CheckupOut{}
	for i, run := range runs {
		var out workflows.CheckupOut
		if err := waitForWorker(ctx, conn, run, &out); err != nil {
			return nil, err
		}
		outs[whose[i]] = append(outs[whose[i]], out)
	}
	return outs, nil
}

// proofsAsked asks each host once, for the first of its zones. A plan asks it for all.
func proofsAsked(f *fleet.Fleet, zones []fleet.Zone) []activities.ProveHost {
	var hosts []activities.ProveHost
	asked := map[rotation.HostName]bool{}
	for _, z := range zones {
		for _, h := range z.Hosts {
			if !asked[h] {
				asked[h] = true
				hosts = append(hosts, activities.ProveHost{Host: f.Hosts[h].Ref(), Zones: []activities.ProveZone{{ID: z.ID}}})
			}
		}
	}
	return hosts
}

func checkAccount(f *fleet.Fleet, a fleet.Account, out workflows.CheckupOut) []check {
	account, zone := string(a.Name), f.ZonesOf(a.Name)[0].ID
	if out.Unasked != "" {
		return []check{{
			What: "credentials of " + account, Level: levelFail, Saw: "not tried: " + out.Unasked,
			Remedy: "start one: bin/worker --fleet fleet.yaml " + edgeoneWorker(a),
		}}
	}
	read := check{
		What: "permission " + actionDescribe + " of " + string(a.Name), Level: levelOK,
		Saw: fmt.Sprintf("EdgeOne showed the key of %s (request %s)", zone, orDash(out.EdgeOne.RequestID)),
	}
	switch {
	case out.EdgeOne.Code == codeNoCredential:
		read.Level, read.Saw = levelNote, "not tried without a credential"
	case out.EdgeOne.Problem != "":
		read.Level, read.Saw, read.Remedy = levelFail, string(zone)+": "+out.EdgeOne.Problem, refusalRemedy(a, zone, out.EdgeOne)
	}
	checks := []check{
		checkCredential(a, out.EdgeOne),
		read,
		{What: "permission " + actionRefresh + " of " + string(a.Name), Level: levelNote, Saw: "unknown until it is used, because trying it would rotate a key; what the account needs: keywave doctor --policy"},
		checkClock(account, out.EdgeOne.AheadMs),
	}
	return append(checks, checkAccountKeyset(a.Name, out.EdgeOne, f.Campaign.Strategy)...)
}

// checkAccountKeyset is about the keyset that the account's edgeone worker has.
// Where there is none, nothing is said unless the fleet's campaigns need one.
func checkAccountKeyset(account rotation.Account, out activities.ExamineOut, strategy rotation.Strategy) []check {
	what := "keyset of account " + string(account)
	switch {
	case out.KeysetProblem != "":
		return []check{{
			What: what, Level: levelFail, Saw: out.KeysetProblem,
			Remedy: "give the account's edgeone workers the file of the one that is in order; only if there is none any more: keywave keyring create --account " + string(account),
		}}
	case out.Keyset != "":
		return []check{{What: what, Level: levelOK, Saw: out.Keyset + ", as the account's edgeone worker has it"}}
	case strategy == rotation.Staged:
		return []check{{
			What: what, Level: levelFail, Saw: "the account's edgeone worker has none, and the fleet's strategy is staged",
			Remedy: "keywave keyring create --account " + string(account) + ", and give the file to the account's edgeone workers alone",
		}}
	}
	return nil
}

// codeNoCredential is the worker's own code: it had nothing to sign with.
const codeNoCredential = "ClientError.CredentialError"

// checkCredential says which credential the worker signs with. Whether EdgeOne
// takes it is the next check.
func checkCredential(a fleet.Account, out activities.ExamineOut) check {
	c := check{What: "credentials of " + string(a.Name), Level: levelOK, Saw: out.Credential}
	switch {
	case out.Code == codeNoCredential:
		c.Level, c.Saw, c.Remedy = levelFail, out.Problem, credentialRemedy(a.Credentials)
	case out.Credential == "":
		c.Level, c.Saw = levelNote, "the worker does not say which it uses"
	case out.Until.IsZero():
	case out.Renew != "":
		c.Level, c.Remedy = levelWarn, "nothing renews this login: a campaign pauses when it ends. Name a role or a key that lasts in the fleet file, or run "+out.Renew+" before that, as the user of the worker"
		c.Saw += untilText(out.Until)
	default:
		c.Saw += untilText(out.Until) + "; renewed before that"
	}
	return c
}

func untilText(until time.Time) string {
	return fmt.Sprintf(", until %s (in %s)", until.UTC().Format(time.RFC3339), time.Until(until).Round(time.Minute))
}

// credentialRemedies is what to do about credentials that EdgeOne refuses, by
// the fleet file's word for where they come from.
var credentialRemedies = map[string]string{
	"env":      "export the right variables where the account's edgeone workers start, and restart them",
	"profile":  "correct that section of the credentials file on the account's edgeone workers; it is read again when it changes",
	"tccli":    "run tccli auth login or tccli configure as the user of the account's edgeone workers",
	"cvm-role": "check the role that is bound to the instance: it needs the permissions of keywave doctor --policy",
	"tke-oidc": "check the role of the pod's service account: it needs the permissions of keywave doctor --policy",
}

func credentialRemedy(c fleet.Credentials) string {
	if c.Role != "" {
		return fmt.Sprintf("check the role %s: its trust policy must name who assumes it (%s), and it needs the permissions of keywave doctor --policy", c.Role, c.Kind)
	}
	return credentialRemedies[c.Kind]
}

// refusalRemedy is what to do about EdgeOne's answer.
func refusalRemedy(a fleet.Account, zone rotation.ZoneID, out activities.ExamineOut) string {
	switch {
	case strings.HasPrefix(out.Code, "UnauthorizedOperation"):
		return "give the account's credentials the permissions of: keywave doctor --policy"
	case out.Code == "AuthFailure.SignatureExpire":
		return "set the clock of the account's worker"
	case out.Class == rotation.Denied:
		return credentialRemedy(a.Credentials)
	case out.Class == rotation.Refused:
		return fmt.Sprintf("is zone %s one of this account, and does it have a key?", zone)
	case out.Class == rotation.Throttled:
		return "something else uses up the account's limit; find it, or lower account.requestsPerSecond"
	}
	return fmt.Sprintf("check account.endpoint (%s) and the network of the account's worker; then try again", a.Endpoint)
}

// clockFails is close to the 300 s around EdgeOne's time in which a signature is
// good.
const clockFails = 240 * time.Second

func checkClock(account string, aheadMs *int64) check {
	c := check{What: "clock of the worker of " + account, Level: levelOK}
	if aheadMs == nil {
		c.Level, c.Saw = levelNote, "EdgeOne gave no date to compare it with"
		return c
	}
	ahead := time.Duration(*aheadMs) * time.Millisecond
	c.Saw = rotation.ClockText(ahead)
	if ahead.Abs() <= rotation.ClockOff {
		return c
	}
	c.Level, c.Remedy = levelWarn, "let NTP set the clock: EdgeOne refuses a signature that is 300 s off"
	if ahead.Abs() > clockFails {
		c.Level = levelFail
	}
	return c
}

// checkLocation says whether the location's workers open what the account's
// worker seals, and whether its hosts can take a key.
func checkLocation(l rotation.Location, outs []workflows.CheckupOut) []check {
	var proofs []rotation.Proof
	var twins []rotation.Twins
	for _, out := range outs {
		for _, checked := range out.Locations {
			switch {
			case checked.Location != l:
			case checked.Unasked != "":
				return []check{{What: "hosts of " + string(l), Level: levelFail, Saw: "not tried: " + checked.Unasked, Remedy: "start one: bin/worker --fleet fleet.yaml --roles location --locations " + string(l)}}
			case checked.Unopened != "":
				return []check{{What: "keyset " + string(l), Level: levelFail, Saw: checked.Unopened, Remedy: "give the location's workers and the edgeone workers the same keyset; the hosts are tried after that"}}
			default:
				proofs = append(proofs, checked.Proofs...)
				twins = append(twins, checked.Twins...)
			}
		}
	}
	opened := check{What: "keyset " + string(l), Level: levelOK, Saw: "the location's worker opens what the account's worker seals"}
	if len(proofs) == 0 {
		opened.Level, opened.Saw = levelNote, "not tried: no zone has a host there"
	}
	return slices.Concat([]check{opened}, checkHosts(l, proofs), checkTwins(twins))
}

// checkTwins names each pair once: hosts may have zones of several accounts.
func checkTwins(all []rotation.Twins) []check {
	var checks []check
	for i, t := range all {
		if !slices.Contains(all[:i], t) {
			checks = append(checks, check{What: fmt.Sprintf("hosts %s and %s", t.Hosts[0], t.Hosts[1]), Level: levelWarn, Saw: t.String()})
		}
	}
	return checks
}

// checkHosts says how many hosts can take a key, and names each that cannot, and what is
// to be known of one that can; of a bastion that is lost, the bastion.
func checkHosts(l rotation.Location, proofs []rotation.Proof) []check {
	var bad []check
	var lost []plan.Finding
	can := 0
	seen := map[rotation.HostName]bool{} // a host may have zones of several accounts
	for _, p := range proofs {
		switch {
		case seen[p.Host]:
			continue
		case p.Problem == "":
			can++
		case p.Bastion != "":
			lost = append(lost, plan.LostBastion(p))
		default:
			bad = append(bad, check{What: "host " + string(p.Host), Level: levelFail, Saw: p.Problem, Remedy: hostRemedy(p.Problem)})
		}
		seen[p.Host] = true
		for _, note := range p.Notes {
			bad = append(bad, check{What: "host " + string(p.Host), Level: levelWarn, Saw: note})
		}
	}
	if len(seen) == 0 {
		return nil
	}
	all := check{What: "hosts of " + string(l), Level: levelOK, Saw: fmt.Sprintf("%d of %d can take a key", can, len(seen))}
	if can < len(seen) {
		all.Level = levelFail
	}
	return slices.Concat([]check{all}, checkBastions(lost), bad)
}

// checkBastions is one failure for each bastion, whatever the number of hosts behind it.
func checkBastions(lost []plan.Finding) []check {
	var bad []check
	once, _ := plan.Together(lost)
	for _, f := range once {
		f = f.Settled()
		bad = append(bad, check{What: "bastion " + f.Bastion, Level: levelFail, Saw: f.Text, Remedy: hostRemedy(f.Text)})
	}
	return bad
}

// hostRemedies is what to do about a host, by the step at which it failed.
var hostRemedies = map[rotation.HostStep]string{
	rotation.StepConnect:  "check its address in the fleet file, the firewall, and that sshd runs",
	rotation.StepIdentity: "compare the key that it presents with the one on its own console, then pin it as hostKey; where another was pinned or known before, find out first who changed it",
	rotation.StepAuth:     "do as the message says; a key of the worker must be in authorized_keys of the user or, where the host takes certificates only, be signed by a CA that it trusts (FILE-cert.pub beside the key), and the user needs a login shell: docs/hosts.md has each kind",
	rotation.StepWrite:    "the directory of path must exist, have room, and take new files from the user",
	rotation.StepReload:   "correct reload in the fleet file, or install what it calls",
	rotation.StepVerify:   "correct verify in the fleet file, or install what it calls",
	rotation.StepSession:  "read its sshd log, and try again",
}

// remedyOfPrograms is what to do about a host to which a program brings keys: it has no
// sshd and no path.
func remedyOfPrograms(f *fleet.Fleet, checks []check) {
	for i := range checks {
		name, _ := strings.CutPrefix(checks[i].What, "host ")
		if h := f.Hosts[rotation.HostName(name)]; h.Exec != nil && checks[i].Level == levelFail {
			checks[i].Remedy = fmt.Sprintf("do as the message says; by hand, as the user of the location's worker: echo '{\"zones\":[\"ZONE\"],\"host\":\"%s\"}' | %s held", name, strings.Join(h.Exec.Command, " "))
		}
	}
}

func hostRemedy(problem string) string {
	step, _, _ := strings.Cut(problem, ":")
	if remedy, known := hostRemedies[rotation.HostStep(step)]; known {
		return remedy
	}
	return "start the location's workers with this fleet file"
}

// checkKeyring checks the keysets on this machine when no worker can be asked. One
// that is missing here may be where the workers are. Nobody should make a second one:
// the location could not open what was sealed with it.
func checkKeyring(f *fleet.Fleet, dir string) []check {
	if dir == "" {
		var err error
		if dir, err = seal.DefaultDir(); err != nil {
			return []check{failed("keysets", err, "name their directory with --keyring")}
		}
	}
	infos, err := seal.Show(dir)
	if err != nil {
		return []check{failed("keysets", err, "name their directory with --keyring")}
	}
	var checks []check
	for _, l := range f.Locations {
		c := check{
			What: "keyset " + string(l), Level: levelNote, Saw: "not in " + dir + "; whether the workers have one is not known",
			Remedy: "start the workers and ask again; only if there never was one: keywave keyring create " + string(l),
		}
		for _, i := range infos {
			if i.Location != l {
				continue
			}
			c.Level, c.Saw, c.Remedy = levelOK, i.Fingerprint+", in "+dir+"; whether the workers have the same is not known", ""
			if i.Problem != "" {
				c.Level, c.Saw, c.Remedy = levelFail, i.Problem, "check the files in "+dir+"; the workers may have a keyset that is in order"
			}
		}
		checks = append(checks, c)
	}
	return append(checks, checkAccountKeyrings(f, infos)...)
}

// checkAccountKeyrings are about the keysets of accounts that are on this machine.
func checkAccountKeyrings(f *fleet.Fleet, infos []seal.Info) []check {
	var checks []check
	for _, i := range infos {
		if i.Account == "" || !slices.Contains(f.AccountNames(), i.Account) {
			continue
		}
		c := check{What: "keyset of account " + string(i.Account), Level: levelOK, Saw: i.Fingerprint + ", here; whether the account's edgeone workers have the same is not known"}
		if i.Problem != "" {
			c.Level, c.Saw, c.Remedy = levelFail, i.Problem, "check the file; the edgeone workers may have a keyset that is in order"
		}
		checks = append(checks, c)
	}
	return checks
}
