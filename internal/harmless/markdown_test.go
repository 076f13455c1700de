package harmless_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/gomarkdown/markdown"
	uihtml "github.com/gomarkdown/markdown/html"
	uiparser "github.com/gomarkdown/markdown/parser"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"

	"keywave/internal/harmless"
	"keywave/internal/proving/hostile"
)

// places are where words of others stand in our Markdown.
var places = []string{
	"%s", "Before %s after.", "**%s**: said\n", "* %s\n* more\n", "| a | b |\n|---|---|\n| %s | c |\n", "[%s](http://127.0.0.1/x)", "Zone **%s** `keywave x`\n", "# Title: %s\n\ntext\n", "%s[more](x)", "text\n%s\n",
}

// readers are who reads it: Temporal's UI, as its server is set up (its own flags
// also change quotes and dashes, which is left out here), and GitHub.
var readers = map[string]func(string) string{
	"Temporal's UI": func(s string) string {
		p := uiparser.NewWithExtensions(uiparser.CommonExtensions | uiparser.AutoHeadingIDs)
		return string(markdown.Render(p.Parse([]byte(s)), uihtml.NewRenderer(uihtml.RendererOptions{Flags: uihtml.HrefTargetBlank})))
	},
	"GitHub": func(s string) string {
		// A reader may make an e-mail address a link: it says itself where it leads.
		mail := extension.WithLinkifyEmailRegexp(regexp.MustCompile(`^\b\B`))
		md := goldmark.New(goldmark.WithExtensions(extension.Table, extension.Strikethrough, extension.TaskList, extension.DefinitionList, extension.Footnote, extension.NewLinkify(mail)),
			goldmark.WithRendererOptions(html.WithUnsafe()))
		var out bytes.Buffer
		if err := md.Convert([]byte(s), &out); err != nil {
			panic(err)
		}
		return out.String()
	},
}

// tags are a page's elements in their order, text what stands between them.
func dissect(page string) (tags, text string) {
	element := regexp.MustCompile(`<[^>]*>`)
	page = regexp.MustCompile(` id="[^"]*"`).ReplaceAllString(page, "")
	return strings.Join(element.FindAllString(page, -1), ""),
		strings.Join(strings.Fields(unescape(element.ReplaceAllString(page, ""))), " ")
}

func unescape(s string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#39;", "'", "&amp;", "&").Replace(s)
}

// tame says how a word leaves its place or changes it; "" is not at all.
func tame(s string) string {
	const calm = "calm"
	for who, read := range readers {
		for _, place := range places {
			quietTags, quietText := dissect(read(fmt.Sprintf(place, calm)))
			tags, text := dissect(read(fmt.Sprintf(place, harmless.Markdown(s))))
			if tags != quietTags {
				return fmt.Sprintf("%s, at %q: %s, not %s", who, place, tags, quietTags)
			}
			if want := strings.Join(strings.Fields(strings.ReplaceAll(quietText, calm, harmless.Terminal(s))), " "); text != want {
				return fmt.Sprintf("%s, at %q: shows %q, not %q", who, place, text, want)
			}
		}
	}
	return ""
}

func TestMarkdownShowsItself(t *testing.T) {
	for _, w := range hostile.Words() {
		if why := tame(w.Text); why != "" {
			t.Errorf("what hopes for %s: %s", w.Hope, why)
		}
	}
}

func FuzzMarkdown(f *testing.F) {
	for _, w := range hostile.Words() {
		f.Add(w.Text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if harmless.Terminal(s) == "" {
			return
		}
		if why := tame(s); why != "" {
			t.Error(why)
		}
	})
}
