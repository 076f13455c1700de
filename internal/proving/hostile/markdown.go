package hostile

import (
	"html"
	"regexp"
	"strings"

	"github.com/gomarkdown/markdown"
	uihtml "github.com/gomarkdown/markdown/html"
	"github.com/gomarkdown/markdown/parser"
)

// InUI turns Markdown into HTML as Temporal's UI server does, except for its
// changes to quotes and dashes.
func InUI(text string) string {
	p := parser.NewWithExtensions(parser.CommonExtensions | parser.AutoHeadingIDs)
	return string(markdown.Render(p.Parse([]byte(text)), uihtml.NewRenderer(uihtml.RendererOptions{Flags: uihtml.HrefTargetBlank})))
}

var (
	element = regexp.MustCompile(`<[^>]*>`)
	ids     = regexp.MustCompile(` id="[^"]*"`)
)

// Dissect separates a page into its elements, in their order, and the text
// between them.
func Dissect(page string) (elements, text string) {
	page = ids.ReplaceAllString(page, "")
	return strings.Join(element.FindAllString(page, -1), ""),
		strings.Join(strings.Fields(html.UnescapeString(element.ReplaceAllString(page, ""))), " ")
}
