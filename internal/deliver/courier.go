package deliver

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"keywave/internal/rotation"
)

// Channel runs the script on a host. It may be used by many goroutines at once.
type Channel interface {
	// Run calls build with the name of an attempt, and runs the job that it
	// returns. The error is nil only when the script gave a verdict. If a session
	// that was opened beforehand lost the input, Run runs it once more, as
	// another attempt.
	Run(ctx context.Context, build func(attempt string) Job) (Answer, error)
	// Says puts the host's name before a reason.
	Says(why string) string
	// Limit is how long Run waits, in the sense of Transcript.Within.
	Limit() time.Duration
}

// Job is one run of the script.
type Job struct {
	Attempt string
	Stdin   []byte
	// Then writes the rest of the input, while the script runs.
	Then func(context.Context, *Transcript, io.Writer)
	// AsLogin runs the script as the login, also where other jobs become another
	// user.
	AsLogin bool
	// Changes says that the script may leave the host changed.
	Changes bool
	// Aside says that it leaves the live file as it is.
	Aside bool
	// Waits says that the rest of the input may be long in coming, and that nothing is
	// lost without this run: it has a session only where one can be spared, on a warm
	// connection, and it is not run a second time.
	Waits bool
	// Acknowledged waits for the host's word that it runs commands at all,
	// which costs a round trip.
	Acknowledged bool
}

// Courier proves, reads and changes a host over a channel. With its channel it
// is a rotation.Host.
type Courier struct {
	Host rotation.HostName
	// User is the user as whom the script runs. It is used in messages.
	User string
	// Become is the same as User where sudo runs the script as another user, and
	// Login is then the user who logs in. Otherwise both are empty.
	Become, Login string
	Settings      Settings
	// Life is how old a reload may get before a later delivery ends it; default
	// DefaultLife.
	Life    time.Duration
	Channel Channel

	asLogin bool         // its jobs run as the login
	puts    atomic.Int32 // how many are under way
	reloads Reloads
	tried   tried

	mu sync.Mutex
	// plain is when a proof saw that nothing hangs on a zone's file that a new
	// file would not have. A delivery that follows need not check this again.
	plain map[rotation.ZoneID]time.Time
}

// plainFor is how long a delivery relies on that. The delivery itself checks
// only whose the file is.
const plainFor = time.Minute

// DefaultLife is longer than a delivery waits for a reload. So a slow reload
// can still serve the next delivery.
const DefaultLife = time.Minute

// Put implements rotation.Host in one run of the script.
func (c *Courier) Put(ctx context.Context, zone rotation.ZoneID, key rotation.Secret, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	if err := CheckKey(key); err != nil {
		return "", err
	}
	return c.land(ctx, "put", zone, rotation.FingerprintOf(zone, key), expect, key)
}

// land makes the file hold a key: the given one, or one that the host has.
func (c *Courier) land(ctx context.Context, verb string, zone rotation.ZoneID, print rotation.Fingerprint, expect []rotation.Fingerprint, key rotation.Secret) (rotation.Fingerprint, error) {
	if _, err := c.Settings.File(zone); err != nil {
		return "", c.failed(rotation.StepWrite, err.Error())
	}
	order, then, done := c.reload()
	defer done()
	a, err := c.Channel.Run(ctx, func(attempt string) Job {
		in := c.opening(attempt, verb, zone, expect) + ending(attempt, print, key) + order
		return Job{Attempt: attempt, Stdin: []byte(in), Then: then, Changes: true}
	})
	return c.placed(zone, a, err, key)
}

// opening is the input of a put up to where the key is needed, ending the rest.
func (c *Courier) opening(attempt, verb string, zone rotation.ZoneID, expect []rotation.Fingerprint) string {
	in, text := c.head(attempt, verb, string(zone)), ""
	if verb == "activate" {
		text = activating
	}
	lines(in, text)
	fmt.Fprintf(in, "%s\n%s\n", expectation(zone, expect), c.hint(zone))
	return in.String()
}

// named names a key by its fingerprint. A key that the host has is not sent.
func named(print rotation.Fingerprint, key rotation.Secret) string {
	return fmt.Sprintf("%s\n%s\n", print, key.Expose())
}

func ending(attempt string, print rotation.Fingerprint, key rotation.Secret) string {
	return named(print, key) + attempt + "\n"
}

// placed returns what the file holds after a put. After a failure nothing that the host
// has done in proofs counts any more.
func (c *Courier) placed(zone rotation.ZoneID, a Answer, err error, key rotation.Secret) (rotation.Fingerprint, error) {
	if err == nil {
		var held rotation.Fingerprint
		if held, err = c.held(zone, a, key); err == nil {
			return held, nil
		}
	}
	c.tried.forget()
	return "", err
}

// held returns what the file holds after a put, or why there was no put.
func (c *Courier) held(zone rotation.ZoneID, a Answer, key rotation.Secret) (rotation.Fingerprint, error) {
	switch a.Verdict {
	case "ack":
		return parse(zone, a.Rest)
	case "refused":
		held, err := parse(zone, a.Rest)
		if err != nil {
			return "", err
		}
		return "", &rotation.HeldError{Held: held}
	case "none":
		return "", &rotation.GoneError{Why: c.Channel.Says("no staged key that could be put in place is there; nothing was changed")}
	}
	return "", c.verdict(a, key)
}

// Rehearse implements rotation.Rehearser in one run of the script. No key leaves the
// host.
func (c *Courier) Rehearse(ctx context.Context, zone rotation.ZoneID) (rotation.Fingerprint, error) {
	if _, err := c.Settings.File(zone); err != nil {
		return "", c.failed(rotation.StepWrite, err.Error())
	}
	order, then, done := c.reload()
	defer done()
	a, err := c.Channel.Run(ctx, func(attempt string) Job {
		in := c.head(attempt, "own", string(zone))
		lines(in, "")
		fmt.Fprintf(in, "-\n\n\n\n%s\n%s", attempt, order) // nothing else is expected, and no key
		return Job{Attempt: attempt, Stdin: []byte(in.String()), Then: then, Changes: true}
	})
	switch {
	case err != nil:
		return "", err
	case a.Verdict == "bare" && strings.HasPrefix(a.Rest, string(rotation.Absent)+" "):
		return rotation.Absent, nil
	}
	return c.held(zone, a, rotation.Secret{})
}

// head is the part of the input that proofs and deliveries share.
func (c *Courier) head(attempt, verb, zones string) *strings.Builder {
	s, in := c.Settings, &strings.Builder{}
	before, after := s.around()
	life := c.Life
	if life <= 0 {
		life = DefaultLife
	}
	for _, line := range []string{
		attempt, verb, tag(c.Host), s.Path, s.StageDir, s.Owner, s.Group, s.permissions(), s.Write, c.lock(),
		seconds(c.Channel.Limit() - time.Second), seconds(life), flat(before), flat(after),
	} {
		in.WriteString(line + "\n")
	}
	for _, text := range []string{before, after, s.Reload, s.Verify} {
		lines(in, text)
	}
	in.WriteString(zones + "\n")
	return in
}

// lock is the directory on the host where runs of the host's commands are
// written down. It is the same for every worker and every address of the host.
func (c *Courier) lock() string {
	return "/tmp/keywave-" + digest("lock", string(c.Host), c.User, c.Settings.Path, c.Settings.Reload, c.Settings.Verify)[:16]
}

// flat is a text without newlines, as the script reads files.
func flat(text string) string { return strings.ReplaceAll(text, "\n", "") }

func seconds(d time.Duration) string {
	return fmt.Sprint(max(1, int(d/time.Second)))
}

// reload decides when the host's consumer is reloaded. A delivery that is alone
// says so at once, which costs no round trip. Deliveries that reach the host
// together share reloads.
func (c *Courier) reload() (order string, then func(context.Context, *Transcript, io.Writer), done func()) {
	done = func() { c.puts.Add(-1) }
	if c.puts.Add(1) == 1 || c.Settings.Reload+c.Settings.Verify == "" {
		return "reload\n", nil, done
	}
	return "", c.shareReload, done
}

func (c *Courier) shareReload(ctx context.Context, t *Transcript, stdin io.Writer) {
	select {
	case <-t.Placed:
	case <-t.Final:
		return
	case <-ctx.Done():
		return
	}
	served := c.reloads.Share(ctx, func(forOthers bool) bool {
		order := "reload\n"
		if forOthers {
			order = "anew\n"
		}
		_, _ = io.WriteString(stdin, order)
		select {
		case <-t.Final:
		case <-ctx.Done(): // also when the job has ended
		}
		return t.SoFar().Verdict == "ack"
	})
	if served {
		_, _ = io.WriteString(stdin, "skip\n")
	}
}

// expectation is what a host may hold. A file without a key counts as absent.
func expectation(zone rotation.ZoneID, expect []rotation.Fingerprint) string {
	words := []string{"-"} // nothing that a host may hold
	for _, fp := range expect {
		words = append(words, string(fp))
		if fp == rotation.Absent {
			words = append(words, string(EmptyFile(zone)))
		}
	}
	return strings.Join(words, " ")
}

func parse(zone rotation.ZoneID, said string) (rotation.Fingerprint, error) {
	fp, ok := rotation.ParseFingerprint(said)
	if !ok {
		return "", &rotation.HostError{Step: rotation.StepSession, Why: "the host answered with no fingerprint; what it holds is not known until it is asked again"}
	}
	if fp == EmptyFile(zone) {
		return rotation.Absent, nil
	}
	return fp, nil
}

// Prove implements rotation.Host in one run of the script, whatever the number of
// zones.
func (c *Courier) Prove(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	return c.ProveAgain(ctx, zones, 0)
}

// ProveAgain implements rotation.Reprover.
func (c *Courier) ProveAgain(ctx context.Context, zones []rotation.ZoneID, recent time.Duration) (rotation.Shown, error) {
	relied := c.tried.within(recent)
	shown, err := c.prove(ctx, zones, relied)
	if err != nil {
		c.tried.forget()
		return rotation.Shown{}, err
	}
	shown.Age = time.Since(relied.since)
	return shown, nil
}

func (c *Courier) prove(ctx context.Context, zones []rotation.ZoneID, relied relied) (rotation.Shown, error) {
	var says sudoSays
	var questions []question
	if !relied.asked {
		var err error
		if says, err = c.askSudo(ctx); err != nil {
			return rotation.Shown{}, err
		}
		questions = c.questions()
	}
	a, err := c.look(ctx, "prove", relied.kinds, questions, zones)
	if err != nil {
		return rotation.Shown{}, says.explain(a, err)
	}
	a.unseen = a.unseen || relied.unseen
	c.forget(zones)
	notes, err := c.judge(questions, a)
	if err != nil {
		return rotation.Shown{}, err
	}
	shown, err := c.shown(a, zones)
	if err != nil {
		return rotation.Shown{}, err
	}
	if a.plain {
		c.learn(shown, relied.began)
	}
	notes = slices.Concat(relied.notes, says.notes, notes)
	c.tried.learn(relied, a, notes)
	shown.Notes = slices.Concat(notes, c.remarks(a, shown))
	return shown, nil
}

// forget takes back what was learnt about the zones' files.
func (c *Courier) forget(zones []rotation.ZoneID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.plain, func(zone rotation.ZoneID, at time.Time) bool {
		return time.Since(at) >= plainFor || slices.Contains(zones, zone)
	})
}

// learn remembers that a proof which began then saw nothing that hangs on the zones' files.
// Of one that is not there it saw nothing, not even the directory.
func (c *Courier) learn(shown rotation.Shown, began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.plain == nil {
		c.plain = map[rotation.ZoneID]time.Time{}
	}
	for zone, held := range shown.Held {
		if held != rotation.Absent {
			c.plain[zone] = began
		}
	}
}

// hint tells a delivery that nothing hangs on the file.
func (c *Courier) hint(zone rotation.ZoneID) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, known := c.plain[zone]; known && time.Since(at) < plainFor {
		return "plain"
	}
	return ""
}

// Locate implements rotation.Locator in one run of the script, whatever the number of
// zones.
func (c *Courier) Locate(ctx context.Context, zones []rotation.ZoneID) (rotation.Whereabouts, error) {
	a, err := c.look(ctx, "locate", nil, nil, zones)
	if err != nil {
		return rotation.Whereabouts{}, err
	}
	located := rotation.Whereabouts{Places: map[rotation.ZoneID]rotation.Place{}}
	for _, zone := range zones {
		located.Places[zone] = c.place(zone, a.at[string(zone)])
	}
	return located, nil
}

// place names a zone's file by its directory, as the host sees it. A directory
// on a network file system is the same on all machines that mount it.
func (c *Courier) place(zone rotation.ZoneID, seen string) rotation.Place {
	inode, rest, _ := strings.Cut(seen, " ")
	from := rest[strings.LastIndex(rest, " ")+1:]
	file, err := c.Settings.File(zone)
	if err != nil || inode == "" {
		return rotation.Place{}
	}
	where := digest("place", from, inode, path.Base(file))[:16]
	return rotation.Place{File: where, Shared: strings.Contains(from, ":/") || strings.HasPrefix(from, "//")}
}

// remarks are what people should know although a key can be delivered.
func (c *Courier) remarks(a Answer, shown rotation.Shown) []string {
	var notes []string
	if a.unseen {
		notes = append(notes, c.Channel.Says("its tools do not show access control lists and extended attributes (no coreutils): a file that has any loses them"))
	}
	if a.foreign != "" {
		notes = append(notes, c.Channel.Says(fmt.Sprintf("root writes into %s, which belongs to another user: whoever is that user can lead root to other files; give the directory to root, or let become name that user", a.foreign)))
	}
	if others := shown.Other; len(others) > 0 {
		notes = append(notes, c.Channel.Says(fmt.Sprintf("%d of its files, the first that of %s, are not in the format of the fleet file; the next delivery writes it", len(others), others[0])))
	}
	return notes
}

// Held implements rotation.Host in one run of the script, whatever the number of
// zones.
func (c *Courier) Held(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	a, err := c.look(ctx, "held", nil, nil, zones)
	if err != nil {
		return rotation.Shown{}, err
	}
	return c.shown(a, zones)
}

// shown is what was seen of the zones' files. A file without a key is in no format.
func (c *Courier) shown(a Answer, zones []rotation.ZoneID) (rotation.Shown, error) {
	held, err := c.holdings(a.held, zones)
	if err != nil {
		return rotation.Shown{}, err
	}
	shown := rotation.Shown{Held: held}
	for _, zone := range zones {
		if a.other[string(zone)] && held[zone] != rotation.Absent {
			shown.Other = append(shown.Other, zone)
		}
		if a.waits[string(zone)] {
			shown.Staged = append(shown.Staged, zone)
		}
	}
	return shown, nil
}

func (c *Courier) look(ctx context.Context, verb string, kinds []string, questions []question, zones []rotation.ZoneID) (Answer, error) {
	ids := make([]string, len(zones))
	for i, zone := range zones {
		if _, err := c.Settings.File(zone); err != nil {
			return Answer{}, c.failed(rotation.StepWrite, err.Error())
		}
		ids[i] = string(zone)
	}
	a, err := c.Channel.Run(ctx, func(attempt string) Job {
		in := c.head(attempt, verb, strings.Join(ids, " "))
		lines(in, strings.Join(kinds, "\n"))
		for i, q := range questions {
			fmt.Fprintf(in, "%d\n", i)
			lines(in, q.shell)
		}
		in.WriteString("end\n")
		return Job{Attempt: attempt, Stdin: []byte(in.String()), Acknowledged: verb == "prove", AsLogin: c.asLogin}
	})
	if err != nil {
		return a, err
	}
	if a.Verdict != "ack" {
		return a, c.verdict(a, rotation.Secret{})
	}
	return a, nil
}

func (c *Courier) holdings(lines []string, zones []rotation.ZoneID) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	held := make(map[rotation.ZoneID]rotation.Fingerprint, len(zones))
	for _, line := range lines {
		name, sum, _ := strings.Cut(line, " ")
		zone := rotation.ZoneID(name)
		fp, err := parse(zone, sum[:min(len(sum), 16)])
		if err != nil {
			return nil, err
		}
		held[zone] = fp
	}
	for _, zone := range zones {
		if _, ok := held[zone]; !ok {
			return nil, c.failed(rotation.StepSession, "the host did not answer for every zone; nothing was changed")
		}
	}
	return held, nil
}

func (c *Courier) failed(step rotation.HostStep, why string) error {
	return &rotation.HostError{Step: step, Why: c.Channel.Says(why)}
}
