package harmless_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"

	"keywave/internal/harmless"
	"keywave/internal/proving/hostile"
)

// places are the places in our Markdown where words of others stand.
var places = []string{
	"%s", "Before %s after.", "**%s**: said\n", "* %s\n* more\n", "| a | b |\n|---|---|\n| %s | c |\n", "[%s](http://127.0.0.1/x)", "Zone **%s** `keywave x`\n", "# Title: %s\n\ntext\n", "%s[more](x)", "text\n%s\n",
}

// readers are the programs that read it.
var readers = map[string]func(string) string{
	"Temporal's UI": hostile.InUI,
	"GitHub": func(s string) string {
		// A reader may turn an e-mail address into a link: the address itself shows
		// where it leads.
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

// tame says how a word leaves its place or changes it; "" means that it does
// not.
func tame(s string) string {
	const calm = "calm"
	for who, read := range readers {
		for _, place := range places {
			quietTags, quietText := hostile.Dissect(read(fmt.Sprintf(place, calm)))
			tags, text := hostile.Dissect(read(fmt.Sprintf(place, harmless.Markdown(s))))
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
