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

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/chromedp"

	"keywave/internal/rotation"
	"keywave/internal/stage"
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
	deadline := time.Now().Add(30 * time.Second)
	text := ""
	for time.Now().Before(deadline) {
		text = b.text()
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.keep("failed")
	b.Fatalf("the page does not show all of %q:\n%s", words, text)
}

// text is what the page and its frames say: the UI shows Markdown in a frame.
func (b *browser) text() string {
	b.Helper()
	var said []string
	var walk func(n *cdp.Node)
	walk = func(n *cdp.Node) {
		if n == nil || n.NodeName == "SCRIPT" || n.NodeName == "STYLE" {
			return
		}
		if n.NodeType == cdp.NodeTypeText {
			said = append(said, n.NodeValue)
		}
		for _, child := range n.Children {
			walk(child)
		}
		for _, root := range n.ShadowRoots {
			walk(root)
		}
		walk(n.ContentDocument)
	}
	err := chromedp.Run(b.ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		root, err := dom.GetDocument().WithDepth(-1).WithPierce(true).Do(ctx)
		walk(root)
		return err
	}))
	if err != nil {
		b.Fatal(err)
	}
	return strings.NewReplacer(" .", ".", " ,", ",", " :", ":").Replace(strings.Join(strings.Fields(strings.Join(said, " ")), " "))
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
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		var at []float64
		if err := chromedp.Run(b.ctx, chromedp.Evaluate(script, &at)); err != nil {
			b.Fatal(err)
		}
		if len(at) == 2 {
			if err := chromedp.Run(b.ctx, chromedp.MouseClickXY(at[0], at[1])); err != nil {
				b.Fatal(err)
			}
			return
		}
		if time.Now().After(deadline) {
			b.keep("failed")
			b.Fatalf("there is nothing to click called %s:\n%s", words, b.text())
		}
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

// What somebody sees in the Temporal UI who has never seen Keywave: a campaign
// that waits and is approved from there, one that a dead host has stopped, its
// exposed zones, and the story of one zone.
func TestTemporalUI(t *testing.T) {
	s := raiseWith(t, strings.Replace(touchy, "{", "{approve: [2], ", 1), 40, 8, 1)
	b := look(t, s)
	exits(t, s, 2, "approve", "campaign", "start", "-f", s.Places.Fleet, "--name", "c", "--reason", "ticket 4711", "--watch")

	campaign := workflows.CampaignID("c")
	b.opensWorkflow(s, campaign, "user-metadata")
	b.reads("A campaign gives each zone of a plan a new key", "Campaign c is waiting", "Wave 2 of 3",
		`keywave campaign approve c --wave 2 --reason`, "rotate 40 zones on 8 hosts in 3 waves", "ticket 4711")
	b.keep("waiting")

	post(t, s, "/hosts/gw-hk-2/bad", map[string]any{"kind": "dropAtExec", "match": "Replaces one key file"})
	b.clicks("More Actions")
	b.clicks("Send an Update")
	b.clicks("Select an Update")
	b.reads("Let a wave that waits for a person begin.", `"wave": 2`, "Start no further refresh.")
	b.keep("updates")
	b.clicks("approve")
	b.types(`{"wave": 2, "by": "ann", "reason": "canary is well"}`)
	b.clicks("Data") // the editor lays its text out anew, and the button moves
	b.reads(`"canary is well" }`)
	b.keep("approve")
	b.clicks("Submit")
	eventually(t, "the approval from the UI is taken", 30*time.Second, func() bool {
		st, err := s.Status(t.Context())
		return err == nil && st.State != "waiting"
	})
	exits(t, s, 2, "resume", "campaign", "watch", "c") // gw-hk-2 does not answer
	zone := exposedZone(t, s)
	b.opensWorkflow(s, campaign, "user-metadata")
	b.reads("Campaign c is paused: exposed zones:", "and the budget maxExposed is 0", "needs a person", zone, "gw-hk-2",
		"keywave campaign resume c", "KeywaveCampaign = ")
	b.keep("campaign")

	b.opens("?query=" + url.QueryEscape(workflows.ExposedQuery("c")))
	b.reads(workflows.ZoneID(rotation.ZoneID(zone)), "Running")
	b.keep("list")

	b.opensWorkflow(s, workflows.ZoneID(rotation.ZoneID(zone)), "user-metadata")
	b.reads(zone+": brings the live key to the hosts (the old key is dead)", "gw-hk-2: session: ", "hosts in ")
	b.keep("zone")
	b.opensWorkflow(s, workflows.ZoneID(rotation.ZoneID(zone)), "history")
	b.reads("1 host in ")
	b.keep("history")
	b.opensWorkflow(s, workflows.ShardID("c", 2), "user-metadata")
	b.reads("Page 2 of campaign c:", "page 2 of 3, wave 2 of 3, of campaign c")

	status := must(t, s, "campaign", "status", "c", "--output", "json")
	for _, word := range []string{`"by":"ann"`, `"reason":"canary is well"`} {
		if !strings.Contains(status, word) {
			t.Errorf("the status does not hold what was sent from the UI, %s:\n%s", word, status)
		}
	}
}

// types types into the editor that is to be seen.
func (b *browser) types(text string) {
	b.Helper()
	const script = `(() => { const e = [...document.querySelectorAll("[contenteditable=true]")].find((e) => e.getClientRects().length > 0);
		if (e) e.focus(); return !!e && document.activeElement === e })()`
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		ready := false
		if err := chromedp.Run(b.ctx, chromedp.Evaluate(script, &ready)); err != nil {
			b.Fatal(err)
		}
		if ready {
			break
		}
		if time.Now().After(deadline) {
			b.Fatalf("there is nothing to type into:\n%s", b.text())
		}
	}
	if err := chromedp.Run(b.ctx, chromedp.KeyEvent(text)); err != nil {
		b.Fatal(err)
	}
}
