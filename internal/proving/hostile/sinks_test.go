package hostile

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
)

// rendered are the fields of Temporal's API that its UI shows to people.
var rendered = map[string]bool{"StaticSummary": true, "StaticDetails": true, "Summary": true}

// Only two kinds of text reach Temporal's UI, which shows them as Markdown:
// details pass through workflows.show, whose argument has a type of its own,
// and summaries come from package harmless or are literals of ours.
func TestNothingReachesTemporalsUIPastItsDoors(t *testing.T) {
	tree := os.DirFS("../../..")
	seen := 0
	err := fs.WalkDir(tree, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "bin" || file == "internal/proving" || file == "devserver" || file != "." && d.Name()[0] == '.'):
			return fs.SkipDir
		case path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		source, err := fs.ReadFile(tree, file)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, source, 0)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && rendered[key.Name] {
					seen++
					if !passes(n.Value) {
						t.Errorf("%s: %s is given words that nobody made harmless", set.Position(n.Pos()), key.Name)
					}
				}
			case *ast.SelectorExpr:
				if n.Sel.Name == "SetCurrentDetails" && file != "workflows/details.go" {
					t.Errorf("%s: use show", set.Position(n.Pos()))
				}
			}
			return true
		})
		return nil
	})
	if err != nil || seen < 10 {
		t.Fatalf("%d summaries were looked at, %v", seen, err)
	}
}

// passes says that a value is a literal, or comes from package harmless.
func passes(v ast.Expr) bool {
	switch v := v.(type) {
	case *ast.BasicLit:
		return true
	case *ast.CallExpr:
		from, ok := v.Fun.(*ast.SelectorExpr)
		return ok && fmt.Sprint(from.X) == "harmless"
	}
	return false
}
