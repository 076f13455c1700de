package e2e

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// browser is a headless Chromium that looks at the Temporal UI.
type browser struct {
	*testing.T
	ctx context.Context
	ui  string
}

func look(t *testing.T, s *stage.Stack) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on this machine; apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 1500), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	return &browser{t, ctx, s.Temporal.UI + "/namespaces/default/workflows"}
}

// reads waits until the page shows all words.
func (b *browser) reads(words ...string) {
	b.Helper()
	b.waits(func() {}, words)
}

// becomes is reads of what the UI asks for anew when R is pressed.
func (b *browser) becomes(words ...string) {
	b.Helper()
	b.waits(func() {
		if err := chromedp.Run(b.ctx, chromedp.KeyEvent("r")); err != nil {
			b.Fatal(err)
		}
	}, words)
}

func (b *browser) waits(meanwhile func(), words []string) {
	b.Helper()
	deadline := time.Now().Add(30 * time.Second)
	text := ""
	for time.Now().Before(deadline) {
		meanwhile()
		text = b.text()
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return
		}
		if stage.Pause(b.ctx, 200*time.Millisecond) != nil {
			break
		}
	}
	b.keep("failed")
	b.Fatalf("the page does not show all of %q:\n%s", words, text)
}

// text is what is to be seen of the page and its frames: the UI shows Markdown in
// a frame.
func (b *browser) text() string {
	b.Helper()
	const script = `[document, ...[...document.querySelectorAll("iframe")].map((f) => f.contentDocument)]
		.map((d) => d && d.body ? d.body.innerText : "").join("\n")`
	var said string
	b.evaluates(script, &said)
	return strings.Join(strings.Fields(said), " ")
}

// follows opens what the one link of these words in the page's Markdown leads to,
// as soon as it is there: its frame is loaded anew whenever its text changes.
func (b *browser) follows(words string) {
	b.Helper()
	script := fmt.Sprintf(`[...document.querySelectorAll("iframe")].flatMap((f) => f.contentDocument ? [...f.contentDocument.links] : [])
		.filter((a) => a.innerText === %q).map((a) => a.href)`, words)
	var to []string
	b.awaits("one link called "+words, func() bool {
		to = nil
		b.evaluates(script, &to)
		return len(to) == 1
	})
	if err := chromedp.Run(b.ctx, chromedp.Navigate(to[0])); err != nil {
		b.Fatal(err)
	}
}

// awaits waits until something is there.
func (b *browser) awaits(what string, there func() bool) {
	b.Helper()
	for deadline := time.Now().Add(20 * time.Second); !there(); {
		if time.Now().After(deadline) || stage.Pause(b.ctx, 100*time.Millisecond) != nil {
			b.keep("failed")
			b.Fatalf("there is not %s:\n%s", what, b.text())
		}
	}
}

func (b *browser) evaluates(script string, to any) {
	b.Helper()
	if err := chromedp.Run(b.ctx, chromedp.Evaluate(script, to)); err != nil {
		b.Fatal(err)
	}
}

func (b *browser) opens(path string) {
	b.Helper()
	if err := chromedp.Run(b.ctx, chromedp.Navigate(b.ui+path)); err != nil {
		b.Fatal(err)
	}
}

// opensWorkflow opens a tab of a workflow's latest run.
func (b *browser) opensWorkflow(s *stage.Stack, id, tab string) {
	b.Helper()
	d, err := temporal(b.T, s).DescribeWorkflowExecution(b.ctx, id, "")
	if err != nil {
		b.Fatal(err)
	}
	b.opens(fmt.Sprintf("/%s/%s/%s", url.PathEscape(id), d.GetWorkflowExecutionInfo().GetExecution().GetRunId(), tab))
}

// find is JavaScript that gives the innermost thing to be seen, with nothing
// before it, whose text begins with these words.
const find = `[...document.querySelectorAll("body *")].filter((e) => {
	const r = e.getBoundingClientRect(), top = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);
	return top && (e.contains(top) || top.contains(e)) &&
		(e.innerText || e.placeholder || e.value || "").toString().replace(/\s+/g, " ").trim().startsWith(%q);
}).find((e, _, all) => !all.some((o) => o !== e && e.contains(o)))`

// clicks clicks it, as soon as it is there.
func (b *browser) clicks(words string) {
	b.Helper()
	b.press(fmt.Sprintf(find, words), words)
}

// press clicks with the mouse what JavaScript finds.
func (b *browser) press(find, words string) {
	b.Helper()
	script := "(() => { const e = " + find + "; if (!e) return []; e.scrollIntoView({block: 'nearest'}); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()"
	var at []float64
	b.awaits("a thing to click called "+words, func() bool {
		at = nil
		b.evaluates(script, &at)
		return len(at) == 2
	})
	if err := chromedp.Run(b.ctx, chromedp.MouseClickXY(at[0], at[1])); err != nil {
		b.Fatal(err)
	}
}

// keep takes a screenshot; with UI_IMAGES=DIR it stays there.
func (b *browser) keep(name string) {
	b.Helper()
	dir := os.Getenv("UI_IMAGES")
	if dir == "" {
		return
	}
	var png []byte
	if err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot(&png)); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.Fatal(err)
	}
}

// sends sends an update as a person does; without data the editor stays empty.
func (b *browser) sends(update, data string) {
	b.Helper()
	b.clicks("More Actions")
	b.clicks("Send an Update")
	b.clicks("Select an Update")
	b.reads("Let a wave that waits for a person begin.", `"wave": 2`, "Start no further refresh.")
	b.clicks(update)
	if data != "" {
		b.types(data)
		b.clicks("Data") // the editor lays its text out anew, and the button moves
		b.reads(strings.Fields(strings.Trim(data, "{}"))...)
	}
	b.keep(update)
	b.clicks("Submit")
}

// What somebody sees in the Temporal UI who has never seen Keywave: a campaign
// that is paused, resumed and approved from there, one that a host has stopped
// that does not answer, its exposed zones, the story of a zone whose answer was
// lost, and the end.
func TestTemporalUI(t *testing.T) {
	s := raiseWith(t, strings.Replace(touchy, "{", "{approve: [2], ", 1), 40, 8, 1)
	b := look(t, s)
	exits(t, s, 2, "approve", "campaign", "start", "-f", s.Places.Fleet, "--name", "c", "--reason", "ticket 4711", "--watch")
	lost := zonesOf(t, s)[1] // of the second wave, on gw-eu-west-1 and gw-eu-west-2
	fault(t, s, lost, "resetAfter")
	post(t, s, "/hosts/gw-hk-2/bad", map[string]any{"kind": "dropAtExec", "match": "Replaces one key file"})

	campaign := workflows.CampaignID("c")
	b.opensWorkflow(s, campaign, "user-metadata")
	b.reads("rotate 40 zones on 8 hosts in 3 waves", "ticket 4711", "Campaign c gives each of 40 zones a new key",
		"It is waiting: wave 2 of 3 begins when a person approves it.", `Do next: keywave campaign approve c --wave 2 --reason "…"`,
		`Send an Update, approve, with the data {"wave": 2, "by": "your name", "reason": "…"}`,
		"1 done every host holds the live key", "39 pending not begun; the old key is alive")
	b.sends("pause", "")
	b.becomes("It is paused: paused by an operator.", "Do next: keywave campaign resume c")
	b.sends("resume", "{}")
	b.becomes("It is waiting: wave 2 of 3")
	b.sends("approve", `{"wave": 2, "by": "ann", "reason": "canary is well"}`)

	b.becomes("It is paused: exposed zones:", "and the budget maxExposed is 0", "Needs a person", "exposed zone-", "gw-hk-2: session:",
		"keywave campaign resume c", "exposed the old key is dead, and some host does not hold the new one: an outage",
		"approved wave 2 by ann: canary is well")
	b.keep("campaign")
	zone := exposedZone(t, s)

	b.follows("All exposed zones of this campaign")
	b.reads("KeywaveCampaign", "KeywaveOutcome", `"exposed"`, workflows.ZoneID(rotation.ZoneID(zone)), "RUNNING")
	if text := b.text(); strings.Contains(text, lost) || strings.Contains(text, "COMPLETED") {
		t.Errorf("the list of exposed zones names others:\n%s", text)
	}
	b.keep("list")

	b.opensWorkflow(s, workflows.ShardID("c", 2), "user-metadata")
	b.reads("rotates page 2 of 3, in wave 2 of 3, of campaign c", "Page 2 of campaign c:", "of 19 zones done", "Needs a person")
	b.keep("shard")
	b.follows(zone)
	b.clicks("User Metadata")
	b.reads("rotates shop-", "brings the live key to the hosts (the old key is dead)", "clients of gw-hk-2 may be locked out",
		"keywave host retire gw-hk-2 --zone "+zone, "gw-hk-2 hk session:")
	b.keep("exposed-zone")

	b.opensWorkflow(s, workflows.ZoneID(rotation.ZoneID(lost)), "timeline")
	b.reads("COMPLETED", "new key for "+lost, "the answer was lost: did the key change?",
		"to gw-eu-west-1 and gw-eu-west-2 in eu-west", "verify after the last acknowledgement")
	b.keep("zone")

	if err := s.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.opensWorkflow(s, campaign, "user-metadata")
	b.becomes("by now it is kept again")
	b.sends("resume", `{"by": "ann", "reason": "gw-hk-2 is back"}`)
	b.becomes("It is done.", "40 done every host holds the live key", "resumed by ann: gw-hk-2 is back")
	b.keep("done")
}

// types types into the editor that is to be seen.
func (b *browser) types(text string) {
	b.Helper()
	const script = `(() => { const e = [...document.querySelectorAll("[contenteditable=true]")].find((e) => e.getClientRects().length > 0);
		if (e) e.focus(); return !!e && document.activeElement === e })()`
	b.awaits("an editor to type into", func() bool {
		ready := false
		b.evaluates(script, &ready)
		return ready
	})
	all := chromedp.KeyEvent("a", chromedp.KeyModifiers(input.ModifierCtrl)) // the dialog keeps what was typed last
	if err := chromedp.Run(b.ctx, all, chromedp.KeyEvent(text)); err != nil {
		b.Fatal(err)
	}
}
