package e2e

import (
	"context"
	"encoding/json"
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
)

// browser is a headless Chromium that shows the Temporal UI.
//
// Every act on a page is a step. A step ends when the page shows the result: an
// address with the heading that belongs to it, a tab with its own content, a
// dialog that is open or gone. An element is found and clicked in one script, so
// that it cannot move, or be replaced, in between.
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
		chromedp.WSURLReadTimeout(stepWithin), // a busy machine needs long to start it
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {})) // drop errors about events that it does not know
	t.Cleanup(stop)
	return &browser{t, ctx, s.Temporal.UI + "/namespaces/default/workflows"}
}

const (
	stepWithin = 3 * time.Minute // for a busy machine
	lookEvery  = 100 * time.Millisecond
)

// eyes is JavaScript that all steps use to see. Visible means visible to a
// person: the UI keeps closed dialogs and menus in the page.
const eyes = `
	const words = (e) => (e.innerText || e.value || "").toString().replace(/\s+/g, " ").trim();
	const isShown = (e) => {
		const r = e.getBoundingClientRect(), top = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);
		return !!top && e.contains(top);
	};
	const shown = (selector, begins) => [...document.querySelectorAll(selector)].find((e) => isShown(e) && words(e).startsWith(begins || ""));
	const click = (e) => { if (!e || e.disabled) return false; e.scrollIntoView({block: "nearest"}); if (!isShown(e)) return false; e.click(); return true };
	const goTo = (address) => { window.isLeft = true; location.assign(address); return true }; // the next page has a window of its own
	const open = (dialog) => [...document.querySelectorAll("dialog[open]")].some((d) => words(d).startsWith(dialog));
	const frames = [...document.querySelectorAll("iframe")].map((f) => f.contentDocument).filter((d) => d && d.body);
`

// step acts, again and again until it succeeds, and then waits until the page
// shows what the act was for. Both are JavaScript that returns true or false.
func (b *browser) step(name, act, until string) {
	b.Helper()
	b.await(name, func() (bool, error) { return b.is(act) })
	b.await(name+", and then to see it", func() (bool, error) { return b.is(until) })
}

// await waits until something is there. A script may fail while one page is
// replaced by the next.
func (b *browser) await(what string, there func() (bool, error)) {
	b.Helper()
	for deadline := time.Now().Add(stepWithin); ; {
		ok, err := there()
		if ok {
			return
		}
		if time.Now().After(deadline) || stage.Pause(b.ctx, lookEvery) != nil {
			b.keep("failed")
			b.Fatalf("not possible: %s (%v)\n%s", what, err, b.text())
		}
	}
}

func (b *browser) is(script string) (yes bool, err error) {
	return yes, b.evaluate("!!("+script+")", &yes)
}

func (b *browser) evaluate(script string, to any) error {
	return chromedp.Run(b.ctx, chromedp.Evaluate("(() => {"+eyes+"return "+script+"})()", to))
}

// page is a place in the UI: its address below that of all workflows, and
// JavaScript that is true only on that page.
type page struct{ address, shown string }

// ofWorkflow is a tab of the page of a workflow's latest run.
func (b *browser) ofWorkflow(s *stage.Stack, id, tab string) page {
	b.Helper()
	d, err := temporal(b.T, s).DescribeWorkflowExecution(b.ctx, id, "")
	if err != nil {
		b.Fatal(err)
	}
	address := fmt.Sprintf("/%s/%s/", url.PathEscape(id), d.GetWorkflowExecutionInfo().GetExecution().GetRunId())
	return page{address + tab, showsTab(address, id, tab)}
}

// tabs are the tabs that are used here, each with JavaScript that is true when
// its own content is shown.
func tabs() map[string]string {
	return map[string]string{"timeline": `shown("button", "Descending")`, "user-metadata": `shown("#user-metadata-summary")`}
}

// showsTab is JavaScript that is true when the address, the heading, the
// selected tab and the content are those of a workflow's tab.
func showsTab(address, id, tab string) string {
	return fmt.Sprintf(`location.pathname.endsWith(%q) && shown("h1[data-testid=workflow-id-heading]", %q) && shown("[role=tab][aria-selected=true]#%s-tab") && %s`,
		address+tab, id, tab, tabs()[tab])
}

// listOf is the list of workflows that a query finds.
func listOf(query string) page {
	return page{"?query=" + url.QueryEscape(query), fmt.Sprintf(`new URLSearchParams(location.search).get("query") === %q && /^[0-9]+ Workflows?$/.test(words(shown("h1") || document.body))`, query)}
}

// columns makes the list of workflows show these columns, as *Configure
// Workflow Table* does.
func (b *browser) columns(labels ...string) {
	b.Helper()
	type column struct {
		Label string `json:"label"`
	}
	all := map[string][]column{}
	for _, l := range labels {
		all["default"] = append(all["default"], column{l})
	}
	set, err := json.Marshal(all)
	if err == nil {
		err = b.evaluate(fmt.Sprintf(`(localStorage.setItem("namespace-workflow-table-columns", %q), true)`, set), nil)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// opens goes to a page by its address.
func (b *browser) opens(p page) {
	b.Helper()
	b.step("to open "+p.address, fmt.Sprintf("goTo(%q)", b.ui+p.address), "!window.isLeft && "+p.shown)
}

// follows follows the one link with these words in the page's Markdown. It
// opens the link in this window, not in another.
func (b *browser) follows(link string, to page) {
	b.Helper()
	b.step("to follow the link "+link, fmt.Sprintf(`((to) => to.length === 1 && goTo(to[0].href))(
		frames.flatMap((d) => [...d.links]).filter((a) => words(a) === %q))`, link), "!window.isLeft && "+to.shown)
}

// turnsTo clicks a tab of the workflow that is shown.
func (b *browser) turnsTo(tab string) {
	b.Helper()
	b.step("to turn to "+tab, fmt.Sprintf(`click(shown("[role=tab]#%s-tab"))`, tab), showsTab("/", "", tab))
}

// sends sends an update as a person does. Without data the editor stays empty.
func (b *browser) sends(update, data string) {
	b.Helper()
	const dialog, title, choice = "dialog[open] ", "Send an Update", `dialog[open] [data-testid=update-select-button]`
	b.step("to open the actions", `click(shown("button[aria-controls=workflow-actions]"))`, `shown("[data-testid=update-button]")`)
	b.step("to choose "+title, `click(shown("[data-testid=update-button]"))`, fmt.Sprintf("open(%q)", title))
	b.step("to open the list of updates", fmt.Sprintf("click(shown(%q))", choice), fmt.Sprintf(`shown(%q, "approve")`, dialog+"[role=option]"))
	b.reads("Let a wave that waits for a person begin.", `"wave": 2`, "Start no further refresh.")
	b.step("to choose "+update, fmt.Sprintf(`click(shown(%q, %q))`, dialog+"[role=option]", update), fmt.Sprintf(`document.querySelector(%q).value === %q && shown(%q)`, dialog+"[data-testid=update-select]", update, choice+"[aria-expanded=false]"))
	if data != "" {
		b.types(dialog+"[contenteditable=true]", data)
	}
	b.keep(update)
	b.step("to submit it", fmt.Sprintf(`click(shown(%q, "Submit"))`, dialog+"button"), fmt.Sprintf("!open(%q)", title))
}

// types writes JSON into an editor, and replaces what was there.
func (b *browser) types(editor, data string) {
	b.Helper()
	focused := fmt.Sprintf("((e) => e && (e.focus(), document.activeElement === e))(shown(%q))", editor)
	b.step("to find the editor", focused, focused)
	write := chromedp.Tasks{
		chromedp.KeyEvent("a", chromedp.KeyModifiers(input.ModifierCtrl)),
		chromedp.ActionFunc(func(ctx context.Context) error { return input.InsertText(data).Do(ctx) }),
	}
	if err := chromedp.Run(b.ctx, write); err != nil {
		b.Fatal(err)
	}
	b.await("to see "+data, func() (bool, error) {
		var holds string
		err := b.evaluate(fmt.Sprintf("(shown(%q) || {}).innerText || ''", editor), &holds)
		return sameJSON(holds, data), err
	})
}

func sameJSON(one, other string) bool {
	var a, b any
	if json.Unmarshal([]byte(one), &a) != nil || json.Unmarshal([]byte(other), &b) != nil {
		return false
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// reads waits until the page shows all words.
func (b *browser) reads(words ...string) {
	b.Helper()
	b.await(fmt.Sprintf("to read %q", words), func() (bool, error) { return b.shows(words), nil })
}

// becomes is like reads, for words that the UI shows only after R is pressed.
func (b *browser) becomes(words ...string) {
	b.Helper()
	looks := 0
	b.await(fmt.Sprintf("to read %q", words), func() (bool, error) {
		if b.shows(words) {
			return true, nil
		}
		looks++
		if looks%asksEvery != 1 {
			return false, nil
		}
		return false, chromedp.Run(b.ctx, chromedp.KeyEvent("r"))
	})
}

// asksEvery is how many checks are made before R is pressed again.
const asksEvery = 10

func (b *browser) shows(words []string) bool {
	text := b.text()
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// text is the visible text of the page and its frames. The UI shows Markdown in
// a frame, which is loaded again whenever its text changes.
func (b *browser) text() string {
	b.Helper()
	var said string
	if err := b.evaluate(`[location.href, document.body.innerText, ...frames.map((d) => d.body.innerText)].join("\n")`, &said); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(said), " ")
}

// keep takes a screenshot. With UI_IMAGES=DIR the file is kept there.
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
